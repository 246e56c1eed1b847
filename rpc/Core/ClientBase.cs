namespace Grpc.Core;

/// <summary>Base of the generated clients.</summary>
public abstract class ClientBase<T> : ClientBase
    where T : ClientBase<T>
{
    /// <summary>For test doubles, whose methods are all overridden.</summary>
    protected ClientBase()
    {
    }

    protected ClientBase(ClientBaseConfiguration configuration)
        : base(configuration)
    {
    }

    public ClientBase(ChannelBase channel)
        : base(channel)
    {
    }

    public ClientBase(CallInvoker callInvoker)
        : base(callInvoker)
    {
    }

    /// <summary>Creates a client of the same type with another configuration.</summary>
    protected abstract T NewInstance(ClientBaseConfiguration configuration);
}

/// <summary>Base of the generated clients, without the client's own type.</summary>
public abstract class ClientBase
{
    private readonly ClientBaseConfiguration? _configuration;

    /// <summary>For test doubles, whose methods are all overridden.</summary>
    protected ClientBase()
    {
    }

    protected ClientBase(ClientBaseConfiguration configuration)
    {
        ArgumentNullException.ThrowIfNull(configuration);
        _configuration = configuration;
    }

    public ClientBase(ChannelBase channel)
    {
        ArgumentNullException.ThrowIfNull(channel);
        _configuration = new ClientBaseConfiguration(channel.CreateCallInvoker());
    }

    public ClientBase(CallInvoker callInvoker)
    {
        ArgumentNullException.ThrowIfNull(callInvoker);
        _configuration = new ClientBaseConfiguration(callInvoker);
    }

    /// <summary>What the calls run on.</summary>
    protected CallInvoker CallInvoker => _configuration?.CallInvoker
        ?? throw new NotImplementedException($"{GetType().Name} was created without a channel, as a test double; override the method.");

    /// <summary>What a client is made of; opaque to user code.</summary>
    protected internal class ClientBaseConfiguration
    {
        internal ClientBaseConfiguration(CallInvoker callInvoker) => CallInvoker = callInvoker;

        internal CallInvoker CallInvoker { get; }
    }
}
