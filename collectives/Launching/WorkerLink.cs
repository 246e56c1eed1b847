using System.Buffers.Binary;

namespace Distributed.Collectives.Launching;

/// <summary>
/// The launcher's end of its tie to one worker that takes the envelope: writes the envelope and forwards the user's input over the
/// worker's stdin. As long as this end is open the worker lives.
/// </summary>
/// <remarks>
/// After the envelope the pipe carries frames: <c>[u32 little-endian length][bytes]</c>, length 0 for the end of the input.
/// </remarks>
public sealed class WorkerLink : IDisposable
{
    private readonly Stream _pipe;

    /// <summary>Writes the envelope, which an empty pipe takes whole.</summary>
    /// <param name="pipe">The worker's stdin, unbuffered; owned by the link from now on.</param>
    /// <param name="envelope">What this worker is told.</param>
    public WorkerLink(Stream pipe, JobEnvelope envelope)
    {
        ArgumentNullException.ThrowIfNull(pipe);
        ArgumentNullException.ThrowIfNull(envelope);
        _pipe = pipe;
        TryWrite(envelope.ToLine());
    }

    /// <summary>Tells the worker that no input of the user's will come.</summary>
    public void EndUserInput() => TryWrite(new byte[Lifeline.FrameHeaderByteCount]);

    /// <summary>
    /// Passes on all of <paramref name="input"/>, then its end. Blocks for as long as the user or the worker keeps it waiting, so it wants
    /// a thread that nobody waits for; returns early when the worker is gone.
    /// </summary>
    public void ForwardUserInput(Stream input)
    {
        ArgumentNullException.ThrowIfNull(input);
        var frame = new byte[Lifeline.FrameHeaderByteCount + Lifeline.MaxFrameByteCount];
        while (Read(input, frame.AsSpan(Lifeline.FrameHeaderByteCount)) is > 0 and var count)
        {
            BinaryPrimitives.WriteUInt32LittleEndian(frame, (uint)count);
            if (!TryWrite(frame.AsSpan(0, Lifeline.FrameHeaderByteCount + count)))
            {
                return;
            }
        }

        EndUserInput();
    }

    /// <summary>Lets go: a worker that still runs ends now.</summary>
    public void Dispose() => _pipe.Dispose();

    private static int Read(Stream input, Span<byte> buffer)
    {
        try
        {
            return input.Read(buffer);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or ObjectDisposedException)
        {
            return 0; // A stdin that cannot be read (closed, a directory, a terminal that hung up) has no more to say.
        }
    }

    private bool TryWrite(ReadOnlySpan<byte> bytes)
    {
        try
        {
            _pipe.Write(bytes);
            return true;
        }
        catch (Exception exception) when (exception is IOException or ObjectDisposedException)
        {
            return false; // The worker is gone; its death is told elsewhere.
        }
    }
}
