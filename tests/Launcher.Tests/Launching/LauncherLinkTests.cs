using System.Buffers.Binary;
using System.Diagnostics;
using Distributed.Collectives.Hosting;
using Distributed.Collectives.Launching;

namespace Distributed.Launcher.Tests.Launching;

/// <summary>Each tie between worker and launcher alone, the others out of the way, on a real process.</summary>
public sealed class LauncherLinkTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly List<Process> _started = [];

    public void Dispose()
    {
        foreach (var process in _started)
        {
            process.Kill();
            process.WaitForExit();
            process.Dispose();
        }

        _folder.Dispose();
    }

    [UnixFact]
    public async Task Attach_LaunchedWorker_GetsTheEnvelopeAndTheUsersInput()
    {
        var worker = StartWorker(TestProgram.Path, "attach");
        using var link = new WorkerLink(worker.StandardInput.BaseStream, EnvelopeFrom(Environment.ProcessId) with { UserInputIsTerminal = true });
        Assert.Equal("attached as rank 1, terminal True, console empty", await worker.StandardOutput.ReadLineAsync().DefaultTimeout());
        Assert.True(link.SendUserInput("first\nsecond\n"u8));
        link.EndUserInput();
        Assert.Equal("read first", await worker.StandardOutput.ReadLineAsync().DefaultTimeout());
        Assert.Equal("read second", await worker.StandardOutput.ReadLineAsync().DefaultTimeout());
        Assert.Equal("input ended", await worker.StandardOutput.ReadLineAsync().DefaultTimeout());
        Assert.False(worker.HasExited);
    }

    [UnixTheory]
    [InlineData("attach")]
    [InlineData("attach-and-never-read")]
    public async Task Lifeline_Ends_WorkerEnds(string command)
    {
        var worker = StartWorker(TestProgram.Path, command);
        var link = new WorkerLink(worker.StandardInput.BaseStream, EnvelopeFrom(Environment.ProcessId));
        await worker.StandardOutput.ReadLineAsync().DefaultTimeout();
        link.Dispose();
        await worker.WaitForExitAsync().DefaultTimeout();
        Assert.Equal(ExitCodes.GroupFailed, worker.ExitCode);
    }

    [UnixFact]
    public async Task Lifeline_EndsWhileUnreadInputFillsIt_WorkerEnds()
    {
        Assert.Equal(0, Posix.MakeFifo(_folder["stdin"]));
        var frame = new byte[60_000];
        BinaryPrimitives.WriteInt32LittleEndian(frame, frame.Length - sizeof(int));
        File.WriteAllBytes(_folder["input"], [.. EnvelopeFrom(Environment.ProcessId).ToLine(), .. frame, .. frame, .. frame, .. frame]);

        // A launcher that is blocked in writing, so that its end of the pipe goes when it is killed and not before.
        var writer = StartWorker(_folder.Script("writer", $"exec cat '{_folder["input"]}' >'{_folder["stdin"]}'"));
        var worker = StartWorker(_folder.Script("worker", $"exec '{TestProgram.Path}' attach-and-never-read <'{_folder["stdin"]}'"));
        Assert.StartsWith("attached", await worker.StandardOutput.ReadLineAsync().DefaultTimeout(), StringComparison.Ordinal);
        await Task.Delay(100);
        Assert.False(writer.HasExited);
        writer.Kill();
        await worker.WaitForExitAsync().DefaultTimeout();
        Assert.Equal(ExitCodes.GroupFailed, worker.ExitCode);
    }

    [UnixTheory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(15)]
    public async Task Signal_WorkerBlockedInItsMainThread_EndsAtOnce(int signal)
    {
        var worker = StartWorker(TestProgram.Path, "attach-and-never-read");
        using var link = new WorkerLink(worker.StandardInput.BaseStream, EnvelopeFrom(Environment.ProcessId));
        await worker.StandardOutput.ReadLineAsync().DefaultTimeout();
        Assert.Equal(0, Posix.Kill(worker.Id, signal));
        await worker.WaitForExitAsync().DefaultTimeout();
        Assert.Equal(ExitCodes.ForSignal(signal), worker.ExitCode);
    }

    /// <summary>The lifeline stays open: only the kernel can tell the worker, and only the kernel reaches a stopped one.</summary>
    [LinuxTheory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Parent_DiesByKill_KernelKillsTheWorker(bool stopped)
    {
        Assert.SkipUnless(Platform.UsesLinux, "Needs prctl.");
        // The envelope must name the shell, so the shell starts the worker on a pipe of ours.
        Assert.Equal(0, Posix.MakeFifo(_folder["stdin"]));
        var parent = _folder.Script("parent", $"'{TestProgram.Path}' attach-and-never-read <'{_folder["stdin"]}' & echo $!; wait");
        var shell = StartWorker(parent);
        using var lifeline = new FileStream(_folder["stdin"], FileMode.Open, FileAccess.Write, FileShare.ReadWrite, 0);
        var workerId = int.Parse((await shell.StandardOutput.ReadLineAsync().DefaultTimeout())!, System.Globalization.CultureInfo.InvariantCulture);
        using var link = new WorkerLink(lifeline, EnvelopeFrom(shell.Id));
        Assert.StartsWith("attached", await shell.StandardOutput.ReadLineAsync().DefaultTimeout(), StringComparison.Ordinal);
        if (stopped)
        {
            Assert.Equal(0, Posix.Kill(workerId, Posix.SigStop));
        }

        Assert.Equal(0, Posix.Kill(shell.Id, Posix.SigKill));
        await Posix.WaitUntilGone(workerId).DefaultTimeout();
    }

    [LinuxFact]
    public async Task Attach_ParentIsNotTheLauncher_Ends()
    {
        var worker = StartWorker(TestProgram.Path, "attach");
        using var link = new WorkerLink(worker.StandardInput.BaseStream, EnvelopeFrom(launcherId: 1));
        await worker.WaitForExitAsync().DefaultTimeout();
        Assert.Equal(ExitCodes.GroupFailed, worker.ExitCode);
    }

    [UnixFact]
    public async Task Attach_EnvelopeOfAnotherRank_IsRefusedInASentence()
    {
        var worker = StartWorker(TestProgram.Path, "attach");
        using var link = new WorkerLink(worker.StandardInput.BaseStream, EnvelopeFrom(Environment.ProcessId) with { Rank = 0 });
        await worker.WaitForExitAsync().DefaultTimeout();
        Assert.Equal(ExitCodes.BadInput, worker.ExitCode);
        Assert.Equal("The job envelope is for rank 0, but RANK=1; leave RANK as distrun sets it.\n", await worker.StandardError.ReadToEndAsync());
    }

    private static JobEnvelope EnvelopeFrom(int launcherId) => new("job", JobSecret.Create(), Epoch: 0, Rank: 1, launcherId);

    private Process StartWorker(string program, params string[] arguments)
    {
        var start = new ProcessStartInfo(program, arguments)
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        start.Environment["RANK"] = "1";
        start.Environment["LOCAL_RANK"] = "1";
        start.Environment["WORLD_SIZE"] = "2";
        start.Environment["DISTRUN_ENVELOPE"] = "1";
        var process = Process.Start(start)!;
        _started.Add(process);
        return process;
    }
}
