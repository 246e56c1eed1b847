using System.Buffers.Binary;
using System.Text;

namespace Distributed.Engine.Tests.Checkpoints;

/// <summary>Puts pickles together opcode by opcode, well-formed or not, as an attacker can.</summary>
internal sealed class PickleAssembler
{
    private readonly MemoryStream _bytes = new();

    public byte[] ToArray() => _bytes.ToArray();

    /// <summary>PROTO 2, then what <paramref name="build"/> adds, then STOP.</summary>
    public static byte[] Whole(Func<PickleAssembler, PickleAssembler> build)
        => build(new PickleAssembler().Raw(0x80, 2)).Raw('.').ToArray();

    /// <summary>A dict with one entry, <c>{"w": value}</c>.</summary>
    public static byte[] Entry(Func<PickleAssembler, PickleAssembler> value) => Whole(pickle => value(pickle.Raw('}').Text("w")).Raw('s'));

    /// <summary>The state dict <c>{"w": tensor}</c> with these numbers.</summary>
    public static byte[] OneTensor(
        long elementCount = 6, long offset = 0, long[]? shape = null, long[]? strides = null, string storageClass = "FloatStorage",
            string key = "0")
        => Entry(pickle => pickle.Tensor(elementCount, offset, shape ?? [2, 3], strides ?? [3, 1], storageClass, key));

    public PickleAssembler Raw(params ReadOnlySpan<byte> bytes)
    {
        _bytes.Write(bytes);
        return this;
    }

    public PickleAssembler Raw(char opcode, params ReadOnlySpan<byte> argument) => Raw((byte)opcode).Raw(argument);

    public PickleAssembler Repeat(int count, Func<PickleAssembler, PickleAssembler> part)
    {
        for (var number = 0; number < count; number++)
        {
            part(this);
        }

        return this;
    }

    public PickleAssembler Part(Func<PickleAssembler, PickleAssembler> part) => part(this);

    public PickleAssembler Text(string text) => Text(text, Encoding.UTF8.GetByteCount(text));

    /// <summary>BINUNICODE with a length of one's choice.</summary>
    public PickleAssembler Text(string text, long length)
    {
        Raw('X');
        return Number(length, 4).Raw(Encoding.UTF8.GetBytes(text));
    }

    public PickleAssembler Integer(long value)
    {
        Raw(0x8A, 8);
        return Number(value, 8);
    }

    public PickleAssembler Number(long value, int byteCount)
    {
        Span<byte> bytes = stackalloc byte[8];
        BinaryPrimitives.WriteInt64LittleEndian(bytes, value);
        return Raw(bytes[..byteCount]);
    }

    public PickleAssembler Global(string module, string name) => Raw('c').Raw(Encoding.UTF8.GetBytes($"{module}\n{name}\n"));

    public PickleAssembler Tuple(params long[] numbers)
    {
        Raw('(');
        Array.ForEach(numbers, number => Integer(number));
        return Raw('t');
    }

    public PickleAssembler Storage(long elementCount, string storageClass = "FloatStorage", string key = "0")
        => Raw('(').Text("storage").Global("torch", storageClass).Text(key).Text("cpu").Integer(elementCount).Raw('t').Raw('Q');

    public PickleAssembler Tensor(long elementCount, long offset, long[] shape, long[] strides, string storageClass = "FloatStorage",
        string key = "0")
        => Global("torch._utils", "_rebuild_tensor_v2").Raw('(').Storage(elementCount, storageClass, key).Integer(offset).Tuple(shape)
            .Tuple(strides)
            .Raw(0x89).Global("collections", "OrderedDict").Raw(')').Raw('R').Raw('t').Raw('R');
}
