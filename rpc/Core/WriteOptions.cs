namespace Grpc.Core;

/// <summary>How a message of a stream is written.</summary>
[Flags]
public enum WriteFlags
{
    /// <summary>More messages follow soon: this one may wait in the buffer and leave together with them.</summary>
    BufferHint = 1,
}

/// <summary>Options for the messages that a stream writes from now on.</summary>
public class WriteOptions
{
    public static readonly WriteOptions Default = new();

    public WriteOptions(WriteFlags flags = default) => Flags = flags;

    public WriteFlags Flags { get; }
}
