using System.Runtime.InteropServices;
using System.Runtime.Versioning;
using Microsoft.Win32.SafeHandles;

namespace Distributed.Launcher.Processes;

/// <summary>A file descriptor as read(2) and write(2) see it, for pipes, terminals and whatever the launcher's own streams are.</summary>
/// <remarks>
/// FileStream would keep its own position in a stdout that is a file and so write over what others append to it; the console's streams pass
/// over EPIPE in silence.
/// </remarks>
[UnsupportedOSPlatform("windows")]
internal sealed unsafe class DescriptorStream(SafeFileHandle descriptor, FileAccess access) : Stream
{
    private const short PollWritable = 4; // POLLOUT
    private const short PollReadable = 1; // POLLIN

    public override bool CanRead => access.HasFlag(FileAccess.Read);

    public override bool CanWrite => access.HasFlag(FileAccess.Write);

    public override bool CanSeek => false;

    public override long Length => throw new NotSupportedException();

    public override long Position
    {
        get => throw new NotSupportedException();
        set => throw new NotSupportedException();
    }

    /// <summary>One of the launcher's own standard streams, which stays open.</summary>
    public static DescriptorStream Standard(int number)
        => new(new SafeFileHandle(number, ownsHandle: false), number == 0 ? FileAccess.Read : FileAccess.Write);

    /// <summary>Whether a read would return at once, with bytes, the end or an error.</summary>
    public bool IsReadable
    {
        get
        {
            var held = false;
            try
            {
                descriptor.DangerousAddRef(ref held);
                var query = new Libc.PollQuery { Descriptor = (int)descriptor.DangerousGetHandle(), Requested = PollReadable };
                return Libc.Poll(&query, 1, timeoutMilliseconds: 0) > 0;
            }
            finally
            {
                if (held)
                {
                    descriptor.DangerousRelease();
                }
            }
        }
    }

    public override int Read(Span<byte> buffer)
    {
        fixed (byte* start = buffer)
        {
            while (true)
            {
                var count = Libc.Read(descriptor, start, buffer.Length);
                if (count >= 0)
                {
                    return (int)count;
                }

                WaitOrThrow("read", PollReadable);
            }
        }
    }

    public override void Write(ReadOnlySpan<byte> buffer)
    {
        fixed (byte* start = buffer)
        {
            var done = 0;
            while (done < buffer.Length)
            {
                var count = Libc.Write(descriptor, start + done, buffer.Length - done);
                if (count < 0)
                {
                    WaitOrThrow("write", PollWritable);
                }
                else
                {
                    done += (int)count;
                }
            }
        }
    }

    public override int Read(byte[] buffer, int offset, int count) => Read(buffer.AsSpan(offset, count));

    public override void Write(byte[] buffer, int offset, int count) => Write(buffer.AsSpan(offset, count));

    public override void Flush()
    {
    }

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            descriptor.Dispose();
        }

        base.Dispose(disposing);
    }

    // A terminal or pipe that is shared with another program may have been made non-blocking by it.
    private void WaitOrThrow(string call, short events)
    {
        var error = Marshal.GetLastPInvokeError();
        if (error == Libc.TryAgain)
        {
            var query = new Libc.PollQuery { Descriptor = (int)descriptor.DangerousGetHandle(), Requested = events };
            _ = Libc.Poll(&query, 1, timeoutMilliseconds: -1);
        }
        else if (error != Libc.Interrupted)
        {
            throw Libc.Error(call, error);
        }
    }
}
