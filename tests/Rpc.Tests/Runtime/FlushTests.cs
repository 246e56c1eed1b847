using Distributed.Rpc.Tests.Protos;
using Distributed.Rpc.Tests.Wire;
using Grpc.Core;
using Grpc.Net.Client;

namespace Distributed.Rpc.Tests.Runtime;

/// <summary>When the client lets its bytes go.</summary>
public sealed class FlushTests
{
    [Fact]
    public async Task RequestStream_Writes_AreFlushedOneByOneUnlessHinted()
    {
        var body = new CountingStream();
        using var handler = new DeafHandler(body);
        using var channel = GrpcChannel.ForAddress("http://nowhere", new GrpcChannelOptions { HttpHandler = handler });
        using var call = new TestService.TestServiceClient(channel).StreamingInputCall();
        var message = new StreamingInputCallRequest();

        await call.RequestStream.WriteAsync(message).DefaultTimeout();
        Assert.Equal(2, body.Flushes); // the headers, before any message, and this one
        await call.RequestStream.WriteAsync(message).DefaultTimeout();
        Assert.Equal(3, body.Flushes);

        call.RequestStream.WriteOptions = new WriteOptions(WriteFlags.BufferHint);
        await call.RequestStream.WriteAsync(message).DefaultTimeout();
        await call.RequestStream.WriteAsync(message).DefaultTimeout();
        Assert.Equal(3, body.Flushes);

        call.RequestStream.WriteOptions = WriteOptions.Default;
        await call.RequestStream.WriteAsync(message).DefaultTimeout();
        Assert.Equal(4, body.Flushes);
        Assert.Equal(5 * MessageReaderTests.Frame([]).Length, body.Length);
    }

    /// <summary>Takes the request and never answers.</summary>
    private sealed class DeafHandler(Stream body) : HttpMessageHandler
    {
        protected override async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
        {
            await request.Content!.CopyToAsync(body, cancellationToken); // every gRPC request has content
            return await new TaskCompletionSource<HttpResponseMessage>().Task.WaitAsync(cancellationToken);
        }
    }

    private sealed class CountingStream : MemoryStream
    {
        public int Flushes { get; private set; }

        public override Task FlushAsync(CancellationToken cancellationToken)
        {
            Flushes++;
            return base.FlushAsync(cancellationToken);
        }
    }
}
