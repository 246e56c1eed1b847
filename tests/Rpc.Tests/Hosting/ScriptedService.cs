using Distributed.Rpc.Tests.Protos;
using Grpc.Core;
using Microsoft.AspNetCore.Builder;

namespace Distributed.Rpc.Tests.Hosting;

/// <summary>A service whose handlers are written in the test; the others are unimplemented.</summary>
internal sealed class ScriptedService : TestService.TestServiceBase
{
    public UnaryServerMethod<SimpleRequest, SimpleResponse>? Unary { get; init; }

    public ClientStreamingServerMethod<StreamingInputCallRequest, StreamingInputCallResponse>? ClientStream { get; init; }

    public ServerStreamingServerMethod<StreamingOutputCallRequest, StreamingOutputCallResponse>? ServerStream { get; init; }

    public DuplexStreamingServerMethod<StreamingOutputCallRequest, StreamingOutputCallResponse>? Duplex { get; init; }

    /// <summary>Maps this instance.</summary>
    public void Map(WebApplication application) => application.MapGrpcService(TestService.BindService(this));

    public override Task<SimpleResponse> UnaryCall(SimpleRequest request, ServerCallContext context)
        => Unary?.Invoke(request, context) ?? base.UnaryCall(request, context);

    public override Task<StreamingInputCallResponse> StreamingInputCall(
        IAsyncStreamReader<StreamingInputCallRequest> requestStream, ServerCallContext context)
        => ClientStream?.Invoke(requestStream, context) ?? base.StreamingInputCall(requestStream, context);

    public override Task StreamingOutputCall(
        StreamingOutputCallRequest request, IServerStreamWriter<StreamingOutputCallResponse> responseStream, ServerCallContext context)
        => ServerStream?.Invoke(request, responseStream, context) ?? base.StreamingOutputCall(request, responseStream, context);

    public override Task FullDuplexCall(
        IAsyncStreamReader<StreamingOutputCallRequest> requestStream,
        IServerStreamWriter<StreamingOutputCallResponse> responseStream,
        ServerCallContext context)
        => Duplex?.Invoke(requestStream, responseStream, context) ?? base.FullDuplexCall(requestStream, responseStream, context);
}
