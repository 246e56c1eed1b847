using System.IO.Pipelines;
using Grpc.Core;
using Grpc.Wire;

namespace Grpc.AspNetCore.Server;

/// <summary>The request stream of a call.</summary>
/// <param name="turn">Closed by the call when it ends: after that nobody may touch the body, which the server uses again.</param>
/// <param name="body">The request's body.</param>
/// <param name="deserializer">Turns bytes into a message.</param>
/// <param name="maxByteCount">The largest message that is accepted.</param>
internal sealed class RequestStreamReader<TRequest>(
    Turn turn, PipeReader body, Func<DeserializationContext, TRequest> deserializer, int? maxByteCount) : IAsyncStreamReader<TRequest>
    where TRequest : class
{
    private readonly MessageReader<TRequest> _messages = new(body, deserializer, maxByteCount);
    private TRequest? _current;

    public TRequest Current => _current ?? throw new InvalidOperationException("There is no current message: MoveNext has not returned true.");

    public async Task<bool> MoveNext(CancellationToken cancellationToken)
    {
        turn.Take();
        try
        {
            _current = null;
            var moved = await _messages.MoveNextAsync(cancellationToken);
            _current = moved ? _messages.Current : null;
            return moved;
        }
        catch (Exception failure) when (failure is not RpcException && !cancellationToken.IsCancellationRequested)
        {
            throw new CallAbortedException(failure);
        }
        finally
        {
            turn.Release();
        }
    }
}
