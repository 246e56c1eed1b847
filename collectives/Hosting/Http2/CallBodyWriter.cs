using System.Buffers;
using System.IO.Pipelines;

namespace Distributed.Collectives.Hosting.Http2;

/// <summary>Collects what is written between two flushes, and writes it as data of a call.</summary>
/// <param name="connection">The call's.</param>
/// <param name="start">Writes the head of the response, unless it has been.</param>
internal sealed class CallBodyWriter(CallConnection connection, Func<CancellationToken, Task> start) : PipeWriter
{
    private readonly ArrayBufferWriter<byte> _bytes = new(1024);

    /// <inheritdoc/>
    public override bool CanGetUnflushedBytes => true;

    /// <inheritdoc/>
    public override long UnflushedBytes => _bytes.WrittenCount;

    /// <inheritdoc/>
    public override void Advance(int bytes) => _bytes.Advance(bytes);

    /// <inheritdoc/>
    public override Memory<byte> GetMemory(int sizeHint = 0) => _bytes.GetMemory(sizeHint);

    /// <inheritdoc/>
    public override Span<byte> GetSpan(int sizeHint = 0) => _bytes.GetSpan(sizeHint);

    /// <inheritdoc/>
    public override async ValueTask<FlushResult> FlushAsync(CancellationToken cancellationToken = default)
    {
        await start(cancellationToken);
        if (_bytes.WrittenCount > 0)
        {
            await connection.WriteBodyAsync(_bytes.WrittenMemory, isLast: false, cancellationToken);
            _bytes.ResetWrittenCount();
        }

        return default;
    }

    /// <inheritdoc/>
    public override void CancelPendingFlush()
    {
        // A flush ends when the connection takes it, or with it.
    }

    /// <inheritdoc/>
    public override void Complete(Exception? exception = null)
    {
        // The response ends with its handler.
    }
}
