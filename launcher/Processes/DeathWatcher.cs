using Distributed.Collectives.Hosting;

namespace Distributed.Launcher.Processes;

/// <summary>Notices the deaths of child processes, in their order, and collects them.</summary>
internal abstract class DeathWatcher : IDisposable
{
    /// <summary>The best watcher that this system offers.</summary>
    public static DeathWatcher Create()
        => Platform.UsesLinux && PidfdDeathWatcher.TryCreate() is { } watcher ? watcher
            : Platform.UsesMacOS ? new KqueueDeathWatcher()
            : new ThreadDeathWatcher();

    /// <summary>
    /// Calls <paramref name="ended"/> once, on a thread of the watcher's, when the process has ended and been collected, with the time at
    /// which the end was noticed. Calls come one after the other.
    /// </summary>
    public abstract void Watch(ChildProcess child, Action<ChildEnd, DateTimeOffset> ended);

    /// <summary>Watches no longer; the processes are left as they are.</summary>
    public abstract void Dispose();
}
