using System.Collections;
using System.Runtime.Versioning;
using Distributed.Launcher.Processes;

namespace Distributed.Launcher.Tests.Processes;

[SupportedOSPlatform("linux")]
public sealed class DeathWatcherTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly Guardian _guardian;

    public DeathWatcherTests() => _guardian = Guardian.Start(_folder["job"]);

    public void Dispose()
    {
        _guardian.Dispose();
        _folder.Dispose();
    }

    /// <summary>Deaths that nobody has looked at yet come in their order, whatever the order in which the processes were started.</summary>
    [LinuxFact]
    public async Task Pidfd_DeathsWhileTheWatcherIsBusy_ComeInTheirOrder()
    {
        using var watcher = PidfdDeathWatcher.TryCreate()!;
        using var busy = new ManualResetEventSlim();
        using var proceed = new ManualResetEventSlim();
        var first = Sleeper();
        watcher.Watch(first, (_, _) =>
        {
            busy.Set();
            proceed.Wait();
        });
        var sleepers = Enumerable.Range(0, 10).Select(_ => Sleeper()).ToArray();
        var order = new List<int>();
        var all = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        foreach (var sleeper in sleepers)
        {
            watcher.Watch(sleeper, (_, _) =>
            {
                order.Add(sleeper.Id);
                if (order.Count == sleepers.Length)
                {
                    all.SetResult();
                }
            });
        }

        first.Signal(Signals.Kill);
        Assert.True(busy.Wait(TimeSpan.FromSeconds(10)));
        var shuffled = sleepers.ToArray();
        new Random(7).Shuffle(shuffled);
        try
        {
            foreach (var sleeper in shuffled)
            {
                sleeper.Signal(Signals.Kill);
                await Posix.WaitUntilGone(sleeper.Id).DefaultTimeout();
            }
        }
        finally
        {
            proceed.Set();
        }

        await all.Task.DefaultTimeout();
        Assert.Equal(shuffled.Select(sleeper => sleeper.Id), order);
    }

    [LinuxTheory]
    [InlineData(false, "exit 7", 7, 0)]
    [InlineData(false, "kill -ABRT $$", 0, 6)]
    [InlineData(true, "exit 7", 7, 0)]
    [InlineData(true, "kill -ABRT $$", 0, 6)]
    public async Task Watch_EitherWatcher_TellsTheEnd(bool threads, string script, int exitCode, int signal)
    {
        using var watcher = threads ? new ThreadDeathWatcher() : DeathWatcher.Create();
        var ended = new TaskCompletionSource<ChildEnd>(TaskCreationOptions.RunContinuationsAsynchronously);
        watcher.Watch(Start(script), (end, _) => ended.SetResult(end));
        Assert.Equal(new ChildEnd(exitCode, signal), await ended.Task.DefaultTimeout());
    }

    [LinuxFact]
    public async Task Watch_ProcessThatIsDeadAlready_TellsItAtOnce()
    {
        using var watcher = PidfdDeathWatcher.TryCreate()!;
        var child = Start("exit 3");
        await Posix.WaitUntilGone(child.Id).DefaultTimeout();
        var ended = new TaskCompletionSource<ChildEnd>(TaskCreationOptions.RunContinuationsAsynchronously);
        watcher.Watch(child, (end, _) => ended.SetResult(end));
        Assert.Equal(3, (await ended.Task.DefaultTimeout()).ExitCode);
    }

    [LinuxFact]
    public async Task Signal_AfterTheEnd_SaysThatTheProcessWasNotRunning()
    {
        var child = Start("exit 3");
        await Posix.WaitUntilGone(child.Id).DefaultTimeout();
        Assert.False(child.Signal(Signals.Terminate));
        Assert.Equal(3, child.Collect().ExitCode);
        Assert.False(child.Signal(Signals.Terminate));
    }

    [LinuxFact]
    public void Start_FileThatIsNoProgram_SaysWhy()
    {
        var script = _folder.Script("script", "");
        File.WriteAllText(script, "neither");
        var exception = Assert.Throws<StartException>(() => ChildProcess.Start(Command(script), _guardian));
        Assert.Equal("it is neither a program of this system nor a script that begins with #! and its interpreter", exception.Message);
        Assert.True(exception.IsProgramsFault);
        File.WriteAllText(script, "#!/no/such/interpreter\n");
        exception = Assert.Throws<StartException>(() => ChildProcess.Start(Command(script), _guardian));
        Assert.Equal("it, or the interpreter that its first line names, does not exist", exception.Message);
    }

    /// <summary>A process in the launcher's group, or in another's, never gets a signal that is meant for a child's group.</summary>
    [LinuxFact]
    public async Task Signal_Child_ReachesItsGroupAndNobodyElse()
    {
        var bystander = Sleeper();
        var child = Start($"sleep 300 & echo $! >'{_folder["grandchild"]}'; wait");
        while (!File.Exists(_folder["grandchild"]) || new FileInfo(_folder["grandchild"]).Length == 0)
        {
            await Task.Delay(5);
        }

        var grandchild = int.Parse(File.ReadAllText(_folder["grandchild"]), System.Globalization.CultureInfo.InvariantCulture);
        Assert.True(child.Signal(Signals.Kill));
        await Posix.WaitUntilGone(grandchild).DefaultTimeout();
        await Posix.WaitUntilGone(child.Id).DefaultTimeout();
        child.Collect();
        Assert.True(Posix.IsAlive(bystander.Id));
        bystander.Signal(Signals.Kill);
        bystander.Collect();
    }

    private ChildProcess Sleeper() => Start("exec sleep 300");

    private ChildProcess Start(string script) => ChildProcess.Start(Command("/bin/sh", "-c", script), _guardian);

    private static ChildCommand Command(string path, params string[] arguments)
    {
        var environment = Environment.GetEnvironmentVariables().Cast<DictionaryEntry>().ToDictionary(entry => (string)entry.Key, entry => (string)entry.Value!);
        return new ChildCommand(path, arguments, environment, ChildInput.Empty);
    }
}
