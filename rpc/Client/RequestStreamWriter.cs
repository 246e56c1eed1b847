using Grpc.Core;
using Grpc.Wire;

namespace Grpc.Net.Client;

/// <summary>The request stream of a call.</summary>
internal sealed class RequestStreamWriter<TRequest, TResponse>(ClientCall<TRequest, TResponse> call, MessageStreamContent body)
    : IClientStreamWriter<TRequest>
    where TRequest : class
    where TResponse : class
{
    private readonly Turn _turn = new("write", "The request stream was completed: no message can follow.");

    public WriteOptions? WriteOptions { get; set; }

    public Task WriteAsync(TRequest message) => WriteAsync(message, CancellationToken.None);

    public async Task WriteAsync(TRequest message, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(message);
        _turn.Take();
        try
        {
            using var cancellation = cancellationToken.UnsafeRegister(
                static call => ((ClientCall<TRequest, TResponse>)call!).Cancel("the caller cancelled a write"), call);
            var flush = WriteOptions is null || (WriteOptions.Flags & WriteFlags.BufferHint) == 0;
            var stream = await body.Opened;
            await call.SendAsync(stream, call.Serialize(message), flush);
        }
        catch (Exception failure) when (failure is not RpcException)
        {
            throw await call.ExplainAsync(failure);
        }
        finally
        {
            _turn.Release();
        }
    }

    public async Task CompleteAsync()
    {
        _turn.TryClose();
        await _turn.WhenIdle(); // a write that was not awaited still belongs to the stream
        body.Complete();
    }
}
