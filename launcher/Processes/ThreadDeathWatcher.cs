namespace Distributed.Launcher.Processes;

/// <summary>
/// A thread waits for each child: for Windows, and Linux without pidfds. Deaths closer together than a thread switch may change places.
/// </summary>
internal sealed class ThreadDeathWatcher : DeathWatcher
{
    private const int StackByteCount = 128 * 1024;
    private readonly Lock _order = new();

    public override void Watch(ChildProcess child, Action<ChildEnd, DateTimeOffset> ended)
    {
        var thread = new Thread(() => Await(child, ended), StackByteCount) { IsBackground = true, Name = $"wait {child.Id}" };
        thread.Start();
    }

    public override void Dispose()
    {
        // Its threads end with the processes that they wait for, or with the launcher.
    }

    private void Await(ChildProcess child, Action<ChildEnd, DateTimeOffset> ended)
    {
        child.WaitForEnd();
        lock (_order)
        {
            var time = DateTimeOffset.Now;
            ended(child.Collect(), time);
        }
    }
}
