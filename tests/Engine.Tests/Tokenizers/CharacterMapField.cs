using Google.Protobuf;

namespace Distributed.Engine.Tests.Tokenizers;

/// <summary>Takes the character map out of a tokenizer.model.</summary>
internal static class CharacterMapField
{
    /// <summary>The precompiled_charsmap, field 2 of field 3.</summary>
    public static byte[] Of(string path) => Field(Field(File.ReadAllBytes(path), 3), 2);

    private static byte[] Field(byte[] message, int field)
    {
        var input = new CodedInputStream(message);
        while (input.ReadTag() is var tag and not 0)
        {
            if (WireFormat.GetTagFieldNumber(tag) == field)
            {
                return input.ReadBytes().ToByteArray();
            }

            input.SkipLastField();
        }

        throw new InvalidDataException($"no field {field}");
    }
}
