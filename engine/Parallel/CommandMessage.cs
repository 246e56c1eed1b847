using System.Buffers.Binary;

namespace Distributed.Engine.Parallel;

/// <summary>What rank 0 tells the others to do.</summary>
internal enum CommandKind : byte
{
    /// <summary>Nothing: rank 0 is alive and idle.</summary>
    KeepAlive = 1,

    /// <summary>Run a <see cref="StepCommand"/>.</summary>
    Step,

    /// <summary>Send this rank's slice of a row of the last step's logits.</summary>
    FetchRow,

    /// <summary>Send this rank's statistics.</summary>
    Statistics,

    /// <summary>End.</summary>
    Stop,
}

/// <summary>
/// The wire form of commands: a message of fixed size, so that the others can wait for it without knowing what comes. A step that does not
/// fit is followed by a second message, the <em>body</em>, of the size that the first one states.
/// </summary>
/// <remarks>
/// Little-endian. Header: signature (4 bytes), kind (1), zeros (3), tokens (4), outputs (4), argument (4), which of a step is the
/// number of blocks. Body: 12 bytes a token, 16 an output, 12 a block. A reader checks everything before it believes anything.
/// </remarks>
internal static class CommandMessage
{
    /// <summary>Bytes of the first message: room for a decode step of 35 sequences.</summary>
    public const int ByteCount = 1024;

    private const uint Signature = 0x32504453;
    private const int HeaderByteCount = 20;
    private const int TokenByteCount = 12;
    private const int OutputByteCount = 16;
    private const int BlockByteCount = 12;

    /// <summary>The bytes of a step's tokens, outputs and blocks.</summary>
    public static int BodyByteCount(int tokenCount, int outputCount, int blockCount)
        => checked((tokenCount * TokenByteCount) + (outputCount * OutputByteCount) + (blockCount * BlockByteCount));

    /// <summary>Whether a body of so many bytes is part of the first message.</summary>
    public static bool IsInline(int bodyByteCount) => bodyByteCount <= ByteCount - HeaderByteCount;

    /// <summary>Where an inline body lies in the first message.</summary>
    public static Span<byte> InlineBody(Span<byte> message, int bodyByteCount) => message.Slice(HeaderByteCount, bodyByteCount);

    /// <summary>Writes the header.</summary>
    public static void WriteHeader(Span<byte> message, CommandKind kind, int tokenCount = 0, int outputCount = 0, int argument = 0)
    {
        BinaryPrimitives.WriteUInt32LittleEndian(message, Signature);
        BinaryPrimitives.WriteUInt32LittleEndian(message[4..], (uint)kind);
        BinaryPrimitives.WriteInt32LittleEndian(message[8..], tokenCount);
        BinaryPrimitives.WriteInt32LittleEndian(message[12..], outputCount);
        BinaryPrimitives.WriteInt32LittleEndian(message[16..], argument);
    }

    /// <summary>Reads the header; false where it is none of a known kind or its counts exceed the limit.</summary>
    public static bool TryReadHeader(
        ReadOnlySpan<byte> message, int maxCount, out CommandKind kind, out int tokenCount, out int outputCount, out int argument)
    {
        var kindNumber = BinaryPrimitives.ReadUInt32LittleEndian(message[4..]);
        kind = (CommandKind)kindNumber;
        tokenCount = BinaryPrimitives.ReadInt32LittleEndian(message[8..]);
        outputCount = BinaryPrimitives.ReadInt32LittleEndian(message[12..]);
        argument = BinaryPrimitives.ReadInt32LittleEndian(message[16..]);
        return BinaryPrimitives.ReadUInt32LittleEndian(message) == Signature
            && kindNumber is >= (uint)CommandKind.KeepAlive and <= (uint)CommandKind.Stop
            && (uint)tokenCount <= (uint)maxCount
            && (uint)outputCount <= (uint)maxCount;
    }

    /// <summary>Writes tokens, outputs and blocks.</summary>
    public static void WriteBody(StepCommand command, Span<byte> body)
    {
        foreach (var token in command.Tokens)
        {
            BinaryPrimitives.WriteInt32LittleEndian(body, token.TokenId);
            BinaryPrimitives.WriteInt32LittleEndian(body[4..], token.Slot);
            BinaryPrimitives.WriteInt32LittleEndian(body[8..], token.Position);
            body = body[TokenByteCount..];
        }

        foreach (var output in command.Outputs)
        {
            BinaryPrimitives.WriteInt32LittleEndian(body, output.TokenIndex);
            BinaryPrimitives.WriteInt32LittleEndian(body[4..], output.TargetTokenId);
            BinaryPrimitives.WriteSingleLittleEndian(body[8..], output.Temperature);
            BinaryPrimitives.WriteUInt32LittleEndian(body[12..], (uint)output.Detail);
            body = body[OutputByteCount..];
        }

        foreach (var block in command.Blocks)
        {
            BinaryPrimitives.WriteInt32LittleEndian(body, block.Slot);
            BinaryPrimitives.WriteInt32LittleEndian(body[4..], block.Part);
            BinaryPrimitives.WriteInt32LittleEndian(body[8..], block.Block);
            body = body[BlockByteCount..];
        }
    }

    /// <summary>Reads tokens, outputs and blocks into <paramref name="command"/>; their values are yet to be checked.</summary>
    public static void ReadBody(ReadOnlySpan<byte> body, int tokenCount, int outputCount, int blockCount, StepCommand command)
    {
        command.Clear();
        for (var i = 0; i < tokenCount; i++, body = body[TokenByteCount..])
        {
            command.AddToken(
                BinaryPrimitives.ReadInt32LittleEndian(body),
                BinaryPrimitives.ReadInt32LittleEndian(body[4..]),
                BinaryPrimitives.ReadInt32LittleEndian(body[8..]));
        }

        for (var i = 0; i < outputCount; i++, body = body[OutputByteCount..])
        {
            // A number that is no detail becomes one that the limits refuse.
            var detail = BinaryPrimitives.ReadUInt32LittleEndian(body[12..]);
            command.AddOutput(
                BinaryPrimitives.ReadInt32LittleEndian(body),
                BinaryPrimitives.ReadInt32LittleEndian(body[4..]),
                BinaryPrimitives.ReadSingleLittleEndian(body[8..]),
                (LogitsDetail)Math.Min(detail, byte.MaxValue));
        }

        for (var i = 0; i < blockCount; i++, body = body[BlockByteCount..])
        {
            command.AddBlock(
                BinaryPrimitives.ReadInt32LittleEndian(body),
                BinaryPrimitives.ReadInt32LittleEndian(body[4..]),
                BinaryPrimitives.ReadInt32LittleEndian(body[8..]));
        }
    }
}
