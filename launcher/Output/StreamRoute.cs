namespace Distributed.Launcher.Output;

/// <summary>Where one output stream of one rank goes. It is always read, whatever is done with it, so that no rank waits on a full pipe.</summary>
internal sealed record StreamRoute
{
    /// <summary>The launcher's stream that shows it; <see langword="null"/> where it is not shown.</summary>
    public ConsoleTarget? Console { get; init; }

    /// <summary>Before each line there; <see langword="null"/> to pass the bytes on as they come.</summary>
    public byte[]? Prefix { get; init; }

    /// <summary>Shows its lines together with equal ones of other ranks, instead.</summary>
    public LineFolder.Lines? Folded { get; init; }

    /// <summary>The file that gets its bytes; owned by whoever carries the stream.</summary>
    public LogFile? File { get; init; }

    /// <summary>Gets copies of some lines.</summary>
    public LineCopies? Copies { get; init; }

    /// <summary>Before each line there.</summary>
    public byte[] CopyPrefix { get; init; } = [];

    /// <summary>Keeps the last lines.</summary>
    public TailBuffer? Tail { get; init; }
}
