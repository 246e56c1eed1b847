namespace Distributed.Collectives;

/// <summary>The ranks did not find each other.</summary>
public abstract class RendezvousException : Exception
{
    private protected RendezvousException(string message, Exception? inner)
        : base(message, inner)
    {
    }
}

/// <summary>Something that others should have brought was missing when the limit ran out; the message says what, or which ranks.</summary>
public sealed class RendezvousTimeoutException(string message) : RendezvousException(message, null);

/// <summary>The store, or a peer that the store names, cannot be reached or does not accept this process.</summary>
public sealed class RendezvousConnectionException(string message, Exception? inner = null) : RendezvousException(message, inner);

/// <summary>The store refuses a request: it would exceed the limits of a key, a value or the store, or a value is not what the request needs.</summary>
public sealed class RendezvousRefusedException(string message) : RendezvousException(message, null);

/// <summary>The run has ended, or this process cannot take part in it as it was started; the message says which.</summary>
public sealed class RendezvousClosedException(string message) : RendezvousException(message, null);
