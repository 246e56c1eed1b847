using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Runtime.Versioning;
using Microsoft.Win32.SafeHandles;

namespace Distributed.Launcher.Processes;

/// <summary>A child on Windows: a console process group for the signals that there are, and a job object for the rest.</summary>
/// <remarks>
/// The job object holds the program and its descendants; Windows kills them when the launcher's handle to it closes, however the launcher
/// ended. What a program starts before it is put into the job, in its first instants, stays outside.
/// </remarks>
[SupportedOSPlatform("windows")]
internal sealed unsafe partial class WindowsChildProcess : ChildProcess
{
    private const int ExtendedLimitInformation = 9; // JobObjectExtendedLimitInformation
    private const uint KillOnJobClose = 0x2000; // JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE
    private const uint ControlBreak = 1; // CTRL_BREAK_EVENT, the only one that a group can be sent

    private readonly Process _process;
    private readonly SafeFileHandle _job;
    private readonly bool _hasInput;
    private int _killSignal;

    public WindowsChildProcess(ChildCommand command)
    {
        var start = new ProcessStartInfo(command.Path, command.Arguments)
        {
            CreateNewProcessGroup = true,
            RedirectStandardInput = command.Input != ChildInput.Inherited,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        start.Environment.Clear();
        foreach (var (name, value) in command.Environment)
        {
            start.Environment[name] = value;
        }

        _job = CreateKillOnCloseJob();
        try
        {
            _process = Process.Start(start)!;
        }
        catch (System.ComponentModel.Win32Exception exception)
        {
            _job.Dispose();
            throw new StartException(exception.Message, isProgramsFault: true);
        }

        AssignProcessToJobObject(_job, _process.SafeHandle);
        _hasInput = command.Input == ChildInput.Pipe;
        if (command.Input == ChildInput.Empty)
        {
            _process.StandardInput.Close();
        }
    }

    public override int Id => _process.Id;

    public override Stream? Input => _hasInput ? _process.StandardInput.BaseStream : null;

    public override Stream Output => _process.StandardOutput.BaseStream;

    public override Stream Error => _process.StandardError.BaseStream;

    public override bool Signal(int signal)
    {
        var wasRunning = !_process.HasExited;
        if (signal == Signals.Kill)
        {
            _killSignal = signal;
            TerminateJobObject(_job, 1);
        }
        else if (signal != Signals.Continue)
        {
            GenerateConsoleCtrlEvent(ControlBreak, (uint)_process.Id);
        }

        return wasRunning;
    }

    public override void WaitForEnd() => _process.WaitForExit();

    public override ChildEnd Collect()
    {
        var end = _killSignal != 0 ? new ChildEnd(0, _killSignal) : new ChildEnd(_process.ExitCode, 0);
        TerminateJobObject(_job, 1);
        return end;
    }

    private static SafeFileHandle CreateKillOnCloseJob()
    {
        var job = CreateJobObjectW(null, null);
        var limits = new ExtendedLimits { LimitFlags = KillOnJobClose };
        SetInformationJobObject(job, ExtendedLimitInformation, &limits, (uint)sizeof(ExtendedLimits));
        return job;
    }

    /// <summary>JOBOBJECT_EXTENDED_LIMIT_INFORMATION.</summary>
    private struct ExtendedLimits
    {
        public long PerProcessUserTimeLimit;
        public long PerJobUserTimeLimit;
        public uint LimitFlags;
        public nuint MinimumWorkingSetSize;
        public nuint MaximumWorkingSetSize;
        public uint ActiveProcessLimit;
        public nuint Affinity;
        public uint PriorityClass;
        public uint SchedulingClass;
        public fixed ulong IoCounters[6];
        public nuint ProcessMemoryLimit;
        public nuint JobMemoryLimit;
        public nuint PeakProcessMemoryUsed;
        public nuint PeakJobMemoryUsed;
    }

    [LibraryImport("kernel32", StringMarshalling = StringMarshalling.Utf16)]
    private static partial SafeFileHandle CreateJobObjectW(void* security, string? name);

    [LibraryImport("kernel32")]
    [return: MarshalAs(UnmanagedType.Bool)]
    private static partial bool SetInformationJobObject(SafeFileHandle job, int kind, void* information, uint byteCount);

    [LibraryImport("kernel32")]
    [return: MarshalAs(UnmanagedType.Bool)]
    private static partial bool AssignProcessToJobObject(SafeFileHandle job, SafeProcessHandle process);

    [LibraryImport("kernel32")]
    [return: MarshalAs(UnmanagedType.Bool)]
    private static partial bool TerminateJobObject(SafeFileHandle job, uint exitCode);

    [LibraryImport("kernel32")]
    [return: MarshalAs(UnmanagedType.Bool)]
    private static partial bool GenerateConsoleCtrlEvent(uint controlEvent, uint processGroup);
}
