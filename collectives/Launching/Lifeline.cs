using System.Buffers;
using System.Buffers.Binary;
using System.Threading.Channels;

namespace Distributed.Collectives.Launching;

/// <summary>
/// Reads the launcher's pipe on a thread of its own, from the envelope to the end that says that the launcher is gone.
/// </summary>
/// <remarks>
/// The reader of <see cref="UserInput"/> may never come, so what is kept for it is bounded; while there is no room the thread does not
/// read, and asks the kernel instead whether the other end still exists.
/// </remarks>
internal sealed class Lifeline
{
    internal const int FrameHeaderByteCount = 4;
    internal const int MaxFrameByteCount = 64 * 1024;
    internal const uint EnvelopeMark = 0x8000_0000;

    private const string StartWithDistrun = "although DISTRUN_ENVELOPE=1; start this program with distrun.";
    private const int ThreadStackByteCount = 256 * 1024;
    private static readonly TimeSpan HangUpCheckInterval = TimeSpan.FromMilliseconds(100);

    private readonly Stream _pipe;
    private readonly Func<bool> _isHungUp;
    private readonly Action _launcherLost;
    private readonly TaskCompletionSource<JobEnvelope> _envelope = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Channel<JobEnvelope> _later = Channel.CreateUnbounded<JobEnvelope>(); // one an attempt
    private readonly byte[] _frameHeader = new byte[FrameHeaderByteCount];
    private int _frameHeaderCount;
    private int _frameRemaining;
    private ArrayBufferWriter<byte>? _laterEnvelope; // the one that is being read

    /// <param name="pipe">The read end; owned from now on.</param>
    /// <param name="isHungUp">Whether the write end is closed, whatever is left to read.</param>
    /// <param name="launcherLost">Called on the reading thread at the end of the pipe.</param>
    public Lifeline(Stream pipe, Func<bool> isHungUp, Action launcherLost)
    {
        _pipe = pipe;
        _isHungUp = isHungUp;
        _launcherLost = launcherLost;
        new Thread(Read, ThreadStackByteCount) { IsBackground = true, Name = "lifeline" }.Start();
    }

    /// <summary>What the user types, unwrapped from its frames.</summary>
    public UserInputStream UserInput { get; } = new();

    /// <exception cref="RankEnvironmentException">No envelope came in time, or what came is none.</exception>
    public JobEnvelope WaitForEnvelope(TimeSpan limit)
    {
        // WaitAny leaves a failure to GetResult, which throws it as it is.
        if (Task.WaitAny([_envelope.Task], limit) < 0)
        {
            throw new RankEnvironmentException($"No job envelope came on stdin within {limit.TotalSeconds:0.#} s {StartWithDistrun}");
        }

        return _envelope.Task.GetAwaiter().GetResult();
    }

    /// <summary>The envelope of the next attempt, when it comes.</summary>
    public async Task<JobEnvelope> NextEnvelopeAsync(CancellationToken cancellationToken) => await _later.Reader.ReadAsync(cancellationToken);

    private void Read()
    {
        try
        {
            var buffer = new byte[MaxFrameByteCount];
            var count = ReadEnvelope(buffer);
            while (count > 0)
            {
                Take(buffer.AsSpan(0, count));
                count = _pipe.Read(buffer);
            }
        }
        catch (IOException)
        {
            // A pipe that cannot be read any more has ended.
        }
        catch (RankEnvironmentException exception)
        {
            if (_envelope.TrySetException(exception))
            {
                return; // Attach reports it.
            }

            Console.Error.WriteLine(exception.Message);
        }

        _launcherLost();
    }

    /// <summary>Completes the envelope and returns how many bytes beyond it are now at the start of the buffer, at least one.</summary>
    private int ReadEnvelope(byte[] buffer)
    {
        var count = 0;
        while (true)
        {
            var read = _pipe.Read(buffer, count, JobEnvelope.MaxByteCount - count);
            count += read;
            var end = buffer.AsSpan(0, count).IndexOf((byte)'\n');
            if (end >= 0)
            {
                _envelope.TrySetResult(JobEnvelope.Parse(buffer.AsSpan(0, end)));
                var rest = count - end - 1;
                buffer.AsSpan(end + 1, rest).CopyTo(buffer);
                return rest > 0 ? rest : _pipe.Read(buffer);
            }

            if (read == 0)
            {
                return count < JobEnvelope.MaxByteCount
                    ? 0
                    : throw new RankEnvironmentException(
                        $"The first {JobEnvelope.MaxByteCount} bytes on stdin hold no job envelope {StartWithDistrun}");
            }
        }
    }

    private void Take(ReadOnlySpan<byte> bytes)
    {
        while (!bytes.IsEmpty)
        {
            if (_frameRemaining > 0)
            {
                var part = bytes[..Math.Min(_frameRemaining, bytes.Length)];
                _frameRemaining -= part.Length;
                bytes = bytes[part.Length..];
                if (_laterEnvelope is null)
                {
                    Deliver(part);
                }
                else
                {
                    CompleteEnvelope(part);
                }

                continue;
            }

            var header = bytes[..Math.Min(FrameHeaderByteCount - _frameHeaderCount, bytes.Length)];
            header.CopyTo(_frameHeader.AsSpan(_frameHeaderCount));
            _frameHeaderCount += header.Length;
            bytes = bytes[header.Length..];
            if (_frameHeaderCount == FrameHeaderByteCount)
            {
                _frameHeaderCount = 0;
                BeginFrame(BinaryPrimitives.ReadUInt32LittleEndian(_frameHeader));
            }
        }
    }

    private void CompleteEnvelope(ReadOnlySpan<byte> part)
    {
        var envelope = _laterEnvelope!; // its frame has begun
        envelope.Write(part);
        if (_frameRemaining == 0)
        {
            _later.Writer.TryWrite(JobEnvelope.Parse(envelope.WrittenSpan));
            _laterEnvelope = null;
        }
    }

    private void BeginFrame(uint length)
    {
        if ((length & EnvelopeMark) != 0 && (length & ~EnvelopeMark) is > 0 and <= JobEnvelope.MaxByteCount)
        {
            length &= ~EnvelopeMark;
            _laterEnvelope = new ArrayBufferWriter<byte>((int)length);
        }

        if (length > MaxFrameByteCount)
        {
            throw new RankEnvironmentException(
                $"The launcher's pipe announced {length} bytes of input at once, above the limit of {MaxFrameByteCount}; "
                + "something else writes to this stdin.");
        }

        _frameRemaining = (int)length;
        if (length == 0)
        {
            UserInput.End();
        }
    }

    private void Deliver(ReadOnlySpan<byte> bytes)
    {
        while (!bytes.IsEmpty)
        {
            var taken = UserInput.Append(bytes, HangUpCheckInterval);
            bytes = bytes[taken..];
            if (taken == 0 && _isHungUp())
            {
                throw new IOException("The write end is closed.");
            }
        }
    }
}
