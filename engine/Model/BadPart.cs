using System.Buffers.Binary;

namespace Distributed.Engine.Model;

/// <summary>
/// The earliest part of a step that was not finite on any of the ranks that a message came by, and the rank. It travels with the hidden states from one
/// pipeline stage to the next, and with the last stage's answers to rank 0.
/// </summary>
/// <param name="Stage">A number of <see cref="StepStage"/>.</param>
/// <param name="Rank">Of the whole group.</param>
internal readonly record struct BadPart(int Stage, int Rank)
{
    /// <summary>Bytes in a message.</summary>
    public const int ByteCount = 8;

    /// <summary>All was finite.</summary>
    public static BadPart None => new(StepStage.None, 0);

    /// <summary>What a message says.</summary>
    public static BadPart Read(ReadOnlySpan<byte> message)
        => new(BinaryPrimitives.ReadInt32LittleEndian(message), BinaryPrimitives.ReadInt32LittleEndian(message[sizeof(int)..]));

    /// <summary>Writes it into a message.</summary>
    public void Write(Span<byte> message)
    {
        BinaryPrimitives.WriteInt32LittleEndian(message, Stage);
        BinaryPrimitives.WriteInt32LittleEndian(message[sizeof(int)..], Rank);
    }

    /// <summary>The earlier of two; of equal ones this.</summary>
    public BadPart Earliest(BadPart other) => other.Stage < Stage ? other : this;
}
