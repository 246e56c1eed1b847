using Grpc.Core;
using Grpc.Wire;

namespace Grpc.Net.Client;

/// <summary>The response stream of a call.</summary>
internal sealed class ResponseStreamReader<TRequest, TResponse>(ClientCall<TRequest, TResponse> call) : IAsyncStreamReader<TResponse>
    where TRequest : class
    where TResponse : class
{
    private readonly Turn _turn = new("read", "The call has ended: nothing can be read.");
    private TResponse? _current;

    public TResponse Current => _current ?? throw new InvalidOperationException("There is no current message: MoveNext has not returned true.");

    public async Task<bool> MoveNext(CancellationToken cancellationToken)
    {
        _turn.Take();
        try
        {
            using var cancellation = cancellationToken.UnsafeRegister(
                static call => ((ClientCall<TRequest, TResponse>)call!).Cancel("the caller cancelled a read"), call);
            _current = null;
            if (await call.Response is { } reader && call.Ended is null)
            {
                if (await reader.MoveNextAsync(call.Stop))
                {
                    _current = reader.Current;
                    return true;
                }

                call.EndWithTrailers();
            }
        }
        catch (Exception failure)
        {
            call.Fail(failure);
        }
        finally
        {
            _turn.Release();
        }

        var end = call.Ended!; // a response without a reader has ended, and so has one that was read
        return end.Status.StatusCode == StatusCode.OK ? false : throw call.ToException(end);
    }
}
