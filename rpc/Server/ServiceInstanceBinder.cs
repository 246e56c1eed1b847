using Grpc.Core;

namespace Grpc.AspNetCore.Server;

/// <summary>Binds the handlers of an instance, which come with the methods.</summary>
internal sealed class ServiceInstanceBinder(ServiceEndpoints endpoints) : ServiceBinderBase
{
    public override void AddMethod<TRequest, TResponse>(
        Method<TRequest, TResponse> method, UnaryServerMethod<TRequest, TResponse>? handler)
        => Add(method, Given(handler), call => call.ServeUnaryAsync(method, Given(handler)));

    public override void AddMethod<TRequest, TResponse>(
        Method<TRequest, TResponse> method, ClientStreamingServerMethod<TRequest, TResponse>? handler)
        => Add(method, Given(handler), call => call.ServeClientStreamingAsync(method, Given(handler)));

    public override void AddMethod<TRequest, TResponse>(
        Method<TRequest, TResponse> method, ServerStreamingServerMethod<TRequest, TResponse>? handler)
        => Add(method, Given(handler), call => call.ServeServerStreamingAsync(method, Given(handler)));

    public override void AddMethod<TRequest, TResponse>(
        Method<TRequest, TResponse> method, DuplexStreamingServerMethod<TRequest, TResponse>? handler)
        => Add(method, Given(handler), call => call.ServeDuplexStreamingAsync(method, Given(handler)));

    private static T Given<T>(T? handler)
        where T : Delegate
        => handler ?? throw new InvalidOperationException("A service definition must hold a handler for each method.");

    private void Add(IMethod method, Delegate handler, Func<ServerCall, Task> serve)
    {
        var type = handler.Target?.GetType() ?? handler.Method.DeclaringType!; // a delegate without a target has a static method of some type
        var attributes = type.GetCustomAttributes(inherit: true).Concat(handler.Method.GetCustomAttributes(inherit: true));
        endpoints.Add(method, type, attributes, serve);
    }
}
