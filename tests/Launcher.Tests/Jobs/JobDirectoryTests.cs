using System.Runtime.Versioning;
using Distributed.Launcher.Jobs;

namespace Distributed.Launcher.Tests.Jobs;

[UnsupportedOSPlatform("windows")]
public sealed class JobDirectoryTests : IDisposable
{
    private const UnixFileMode OwnerOnly = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute;
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    private static string Own => $"distrun-{Launcher.Processes.Libc.GetUserId()}";

    [UnixFact]
    public void Create_IsPrivateAndRemovedWithItsContent()
    {
        var job = JobDirectory.CreateIn(_folder.Path);
        Assert.Equal(OwnerOnly, File.GetUnixFileMode(job.Path));
        Directory.CreateDirectory(Path.Combine(job.Path, "a", "b"));
        job.Dispose();
        Assert.Empty(Directory.GetFileSystemEntries(_folder.Path));
    }

    [UnixFact]
    public void RemoveStale_TakesWhatNobodyHoldsAndNothingElse()
    {
        using var mine = JobDirectory.CreateIn(_folder.Path);
        using var another = JobDirectory.CreateIn(_folder.Path);
        Directory.CreateDirectory(_folder["dead/inner"]);
        File.WriteAllText(_folder["dead.lock"], "");
        Directory.CreateDirectory(_folder["unknown"]);
        mine.RemoveStale();
        Assert.Equal(
            new[] { mine.Path, mine.Path + ".lock", another.Path, another.Path + ".lock", _folder["unknown"] }.Order(),
            Directory.GetFileSystemEntries(_folder.Path).Order());
    }

    [UnixFact]
    public void ChooseParent_SafeFolder_IsMadePrivate()
    {
        var parent = JobDirectory.ChooseUnixParent(runtimeFolder: null, _folder.Path);
        Assert.Equal(_folder[Own], parent);
        Assert.Equal(OwnerOnly, File.GetUnixFileMode(parent));
        Assert.Equal(parent, JobDirectory.ChooseUnixParent(null, _folder.Path));
    }

    [UnixFact]
    public void ChooseParent_RuntimeFolder_GoesFirstIfItExists()
    {
        Assert.Equal(_folder["distrun"], JobDirectory.ChooseUnixParent(_folder.Path, "/nowhere"));
        Assert.Equal(_folder[Own], JobDirectory.ChooseUnixParent(_folder["absent"], _folder.Path));
    }

    /// <summary>What is not safe is passed over for /tmp.</summary>
    [UnixTheory]
    [InlineData("symlink")]
    [InlineData("file")]
    [InlineData("open to others")]
    [InlineData("under a folder that others may write")]
    [InlineData("too long")]
    public void ChooseParent_UnsafeFolder_IsNotUsed(string danger)
    {
        var temporary = _folder.Path;
        switch (danger)
        {
            case "symlink":
                Directory.CreateDirectory(_folder["elsewhere"], OwnerOnly);
                Directory.CreateSymbolicLink(_folder[Own], _folder["elsewhere"]);
                break;
            case "file":
                File.WriteAllText(_folder[Own], "");
                break;
            case "open to others":
                Directory.CreateDirectory(_folder[Own]);
                File.SetUnixFileMode(_folder[Own], OwnerOnly | UnixFileMode.GroupExecute);
                break;
            case "under a folder that others may write":
                File.SetUnixFileMode(_folder.Path, OwnerOnly | UnixFileMode.OtherWrite | UnixFileMode.OtherExecute);
                break;
            case "too long":
                temporary = _folder[new string('x', 60)];
                Directory.CreateDirectory(temporary);
                break;
        }

        Assert.Equal($"/tmp/{Own}", JobDirectory.ChooseUnixParent(null, temporary));
    }

    [LinuxFact]
    public void Claim_Port_IsLockedForThisProcessUntilTheEnd()
    {
        // Locks of one process do not exclude each other, so this looks at the kernel's list.
        bool IsLocked(int number) => File.ReadLines("/proc/locks").Any(line => line.EndsWith($" {number} {number}", StringComparison.Ordinal)
            && line.Contains($" POSIX  ADVISORY  WRITE {Environment.ProcessId} ", StringComparison.Ordinal));

        var port = MasterPort.Claim(_folder.Path);
        Assert.True(MasterPort.IsFree(port.Number));
        Assert.True(IsLocked(port.Number));
        port.Dispose();
        Assert.False(IsLocked(port.Number));
    }
}
