namespace Distributed.Collectives.Hosting.Http2;

/// <summary>A body of the one call of a connection, as a stream: this end's to write, or the other's to read.</summary>
/// <param name="connection">The connection.</param>
/// <param name="ended">Called once where the other end's body is read to its end; null for one to write.</param>
internal sealed class CallBody(CallConnection connection, Action? ended) : ForwardStream
{
    private Action? _ended = ended;

    /// <inheritdoc/>
    public override bool CanRead { get; } = ended is not null;

    /// <inheritdoc/>
    public override bool CanWrite => !CanRead;

    /// <inheritdoc/>
    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        var count = await connection.ReadBodyAsync(buffer, cancellationToken);
        if (count == 0 && connection.IsRead)
        {
            Interlocked.Exchange(ref _ended, null)?.Invoke();
        }

        return count;
    }

    /// <inheritdoc/>
    public override async Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken)
        => await ReadAsync(buffer.AsMemory(offset, count), cancellationToken);

    /// <inheritdoc/>
    public override int Read(byte[] buffer, int offset, int count) => ReadAsync(buffer, offset, count, CancellationToken.None).GetAwaiter().GetResult();

    /// <inheritdoc/>
    public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
        => buffer.IsEmpty ? ValueTask.CompletedTask : connection.WriteBodyAsync(buffer, isLast: false, cancellationToken);

    /// <inheritdoc/>
    public override async Task WriteAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken)
        => await WriteAsync(buffer.AsMemory(offset, count), cancellationToken);

    /// <inheritdoc/>
    public override void Write(byte[] buffer, int offset, int count) => WriteAsync(buffer, offset, count, CancellationToken.None).GetAwaiter().GetResult();

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        if (CanRead)
        {
            connection.Dispose(); // whoever does not want the answer wants nothing more of the call
        }

        base.Dispose(disposing);
    }
}
