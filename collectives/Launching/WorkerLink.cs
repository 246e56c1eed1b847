using System.Buffers.Binary;

namespace Distributed.Collectives.Launching;

/// <summary>
/// The launcher's end of its tie to one worker that takes the envelope: writes the envelope and forwards the user's input over the
/// worker's stdin. As long as this end is open the worker lives.
/// </summary>
/// <remarks>
/// After the envelope the pipe carries frames: <c>[u32 little-endian length][bytes]</c>, length 0 for the end of the input. With the highest bit of
/// the length set the bytes are the envelope of another attempt.
/// </remarks>
public sealed class WorkerLink : IDisposable
{
    /// <summary>The most that is passed on at once.</summary>
    public const int MaxInputByteCount = Lifeline.MaxFrameByteCount;

    private readonly Stream _pipe;
    private readonly Lock _gate = new(); // over the pipe: one frame after the other
    private byte[]? _frame;

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
    /// Passes on what the user typed, at most <see cref="MaxInputByteCount"/> bytes. Blocks for as long as the worker does not read, so it
    /// wants a thread that nobody waits for.
    /// </summary>
    /// <returns>Whether the worker was there to take it.</returns>
    public bool SendUserInput(ReadOnlySpan<byte> bytes)
    {
        _frame ??= new byte[Lifeline.FrameHeaderByteCount + MaxInputByteCount];
        BinaryPrimitives.WriteUInt32LittleEndian(_frame, (uint)bytes.Length);
        bytes.CopyTo(_frame.AsSpan(Lifeline.FrameHeaderByteCount));
        return TryWrite(_frame.AsSpan(0, Lifeline.FrameHeaderByteCount + bytes.Length));
    }

    /// <summary>Tells a worker that outlives an attempt of the next one.</summary>
    /// <param name="envelope">Of the next attempt, with its addresses.</param>
    /// <param name="limit">How long to wait for input of the user's that the worker does not take.</param>
    /// <returns>Whether it was told.</returns>
    public bool TrySendEnvelope(JobEnvelope envelope, TimeSpan limit)
    {
        ArgumentNullException.ThrowIfNull(envelope);
        var line = envelope.ToLine();
        var frame = new byte[Lifeline.FrameHeaderByteCount + line.Length];
        BinaryPrimitives.WriteUInt32LittleEndian(frame, Lifeline.EnvelopeMark | (uint)line.Length);
        line.CopyTo(frame, Lifeline.FrameHeaderByteCount);
        if (!_gate.TryEnter(limit))
        {
            return false;
        }

        try
        {
            return TryWrite(frame);
        }
        finally
        {
            _gate.Exit();
        }
    }

    /// <summary>Lets go: a worker that still runs ends now.</summary>
    public void Dispose() => _pipe.Dispose();

    private bool TryWrite(ReadOnlySpan<byte> bytes)
    {
        try
        {
            lock (_gate)
            {
                _pipe.Write(bytes);
            }

            return true;
        }
        catch (Exception exception) when (exception is IOException or ObjectDisposedException)
        {
            return false; // The worker is gone; its death is told elsewhere.
        }
    }
}
