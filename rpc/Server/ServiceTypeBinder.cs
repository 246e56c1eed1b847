using System.Reflection;
using Grpc.Core;
using Microsoft.Extensions.DependencyInjection;

namespace Grpc.AspNetCore.Server;

/// <summary>
/// Binds the handlers of a type. The generated <c>BindService</c> names the methods, without handlers since there is no instance yet; the
/// handlers are the type's methods of the same names, and each call gets an instance from the host's services.
/// </summary>
internal sealed class ServiceTypeBinder<TService> : ServiceBinderBase
    where TService : class
{
    private static readonly ObjectFactory Create = ActivatorUtilities.CreateFactory(typeof(TService), Type.EmptyTypes);

    private readonly ServiceEndpoints _endpoints;

    private ServiceTypeBinder(ServiceEndpoints endpoints) => _endpoints = endpoints;

    public static void Bind(ServiceEndpoints endpoints)
    {
        for (var type = typeof(TService); type is not null; type = type.BaseType)
        {
            if (type.GetCustomAttribute<BindServiceMethodAttribute>(inherit: false) is { } attribute)
            {
                var bind = attribute.BindType.GetMethod(
                    attribute.BindMethodName, BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Static, [typeof(ServiceBinderBase), type]);
                bind!.Invoke(null, BindingFlags.DoNotWrapExceptions, null, [new ServiceTypeBinder<TService>(endpoints), null], null); // generated with the attribute
                return;
            }
        }

        throw new InvalidOperationException($"{typeof(TService)} is not a gRPC service: it does not derive from a generated base class.");
    }

    public override void AddMethod<TRequest, TResponse>(
        Method<TRequest, TResponse> method, UnaryServerMethod<TRequest, TResponse>? handler)
    {
        var open = Open<Func<TService, TRequest, ServerCallContext, Task<TResponse>>>(method, out var attributes);
        Add(method, attributes, (service, call) => call.ServeUnaryAsync(method, (request, context) => open(service, request, context)));
    }

    public override void AddMethod<TRequest, TResponse>(
        Method<TRequest, TResponse> method, ClientStreamingServerMethod<TRequest, TResponse>? handler)
    {
        var open = Open<Func<TService, IAsyncStreamReader<TRequest>, ServerCallContext, Task<TResponse>>>(method, out var attributes);
        Add(method, attributes, (service, call) => call.ServeClientStreamingAsync(method, (requests, context) => open(service, requests, context)));
    }

    public override void AddMethod<TRequest, TResponse>(
        Method<TRequest, TResponse> method, ServerStreamingServerMethod<TRequest, TResponse>? handler)
    {
        var open = Open<Func<TService, TRequest, IServerStreamWriter<TResponse>, ServerCallContext, Task>>(method, out var attributes);
        Add(method, attributes, (service, call) => call.ServeServerStreamingAsync(
            method, (request, responses, context) => open(service, request, responses, context)));
    }

    public override void AddMethod<TRequest, TResponse>(
        Method<TRequest, TResponse> method, DuplexStreamingServerMethod<TRequest, TResponse>? handler)
    {
        var open = Open<Func<TService, IAsyncStreamReader<TRequest>, IServerStreamWriter<TResponse>, ServerCallContext, Task>>(
            method, out var attributes);
        Add(method, attributes, (service, call) => call.ServeDuplexStreamingAsync(
            method, (requests, responses, context) => open(service, requests, responses, context)));
    }

    /// <summary>The type's method as a delegate whose first parameter is the instance.</summary>
    private static TDelegate Open<TDelegate>(IMethod method, out object[] attributes)
        where TDelegate : Delegate
    {
        var parameters = typeof(TDelegate).GetGenericArguments()[1..^1];
        var handler = typeof(TService).GetMethod(method.Name, BindingFlags.Public | BindingFlags.Instance, parameters)
            ?? throw new InvalidOperationException($"{typeof(TService)} has no method {method.Name} for {method.FullName}.");
        attributes = [.. typeof(TService).GetCustomAttributes(inherit: true), .. handler.GetCustomAttributes(inherit: true)];
        return handler.CreateDelegate<TDelegate>();
    }

    private void Add(IMethod method, object[] attributes, Func<TService, ServerCall, Task> serve)
        => _endpoints.Add(method, typeof(TService), attributes, async call =>
        {
            var services = call.HttpContext.RequestServices;
            if (services.GetService<TService>() is { } registered)
            {
                await serve(registered, call);
                return;
            }

            var created = (TService)Create(services, null);
            try
            {
                await serve(created, call);
            }
            finally
            {
                if (created is IAsyncDisposable asyncDisposable)
                {
                    await asyncDisposable.DisposeAsync();
                }
                else
                {
                    (created as IDisposable)?.Dispose();
                }
            }
        });
}
