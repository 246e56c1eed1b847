namespace Grpc.Core;

/// <summary>Turns messages of one type into bytes and back.</summary>
public class Marshaller<T>
{
    /// <summary>A marshaller that works in the runtime's own buffers, without an array a message.</summary>
    public Marshaller(Action<T, SerializationContext> serializer, Func<DeserializationContext, T> deserializer)
    {
        ArgumentNullException.ThrowIfNull(serializer);
        ArgumentNullException.ThrowIfNull(deserializer);
        ContextualSerializer = serializer;
        ContextualDeserializer = deserializer;
    }

    /// <summary>A marshaller on arrays; simple, and a copy a message.</summary>
    public Marshaller(Func<T, byte[]> serializer, Func<byte[], T> deserializer)
        : this(OnArrays(serializer), OnArrays(deserializer))
    {
    }

    public Action<T, SerializationContext> ContextualSerializer { get; }

    public Func<DeserializationContext, T> ContextualDeserializer { get; }

    private static Action<T, SerializationContext> OnArrays(Func<T, byte[]> serializer)
    {
        ArgumentNullException.ThrowIfNull(serializer);
        return (message, context) => context.Complete(serializer(message));
    }

    private static Func<DeserializationContext, T> OnArrays(Func<byte[], T> deserializer)
    {
        ArgumentNullException.ThrowIfNull(deserializer);
        return context => deserializer(context.PayloadAsNewBuffer());
    }
}

/// <summary>Creates marshallers with the message type inferred.</summary>
public static class Marshallers
{
    public static Marshaller<T> Create<T>(Action<T, SerializationContext> serializer, Func<DeserializationContext, T> deserializer)
        => new(serializer, deserializer);

    public static Marshaller<T> Create<T>(Func<T, byte[]> serializer, Func<byte[], T> deserializer)
        => new(serializer, deserializer);
}
