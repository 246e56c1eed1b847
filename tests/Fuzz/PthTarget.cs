using System.Text;
using Distributed.Engine.Checkpoints;
using Distributed.Engine.Tests.Checkpoints;

namespace Distributed.Fuzz;

/// <summary>consolidated.00.pth: a zip container whose fields lie, and pickles of known and unknown opcodes with right checksums around them.</summary>
internal sealed class PthTarget : TensorFileTarget
{
    private static readonly string[] Classes = ["FloatStorage", "BFloat16Storage", "HalfStorage", "LongStorage", "BoolStorage", "ComplexDoubleStorage", "EvilStorage"];

    private static readonly string[] Names = ["archive/data.pkl", "archive/byteorder", "archive/data/0", "archive/version"];

    public override string Name => "pth";

    public override string FileName => "consolidated.00.pth";

    public override byte[] Make(Random random)
    {
        var container = ContainerBuilder.OneTensor(Pickle(random));
        container.HasZip64End = random.Next(4) == 0;
        for (var count = random.Next(0, 3); count > 0; count--)
        {
            Change(random, container);
        }

        var bytes = container.Build();
        if (random.Next(3) == 0)
        {
            var (_, offset, width) = container.Fields[random.Next(container.Fields.Count)];
            var value = BitConverter.GetBytes(Values.Number(random));
            value.AsSpan(0, width).CopyTo(bytes.AsSpan(offset));
        }

        return random.Next(4) == 0 ? Values.Damage(random, bytes) : bytes;
    }

    public override void Read(string path)
    {
        using var file = ShardFile.Open(path);
        var index = ShardIndex.Read(file);
        Check(file, index.Tensors.Values);
        Require(
            index.Tensors.Values.All(tensor => index.Storages.Any(storage
                => tensor.Offset >= storage.Offset && tensor.Offset + tensor.ByteCount <= storage.Offset + storage.ByteCount)),
            "a tensor lies within one storage");
        using var mapped = index.Tensors.Values.All(tensor => tensor.Type.TensorType is not null) ? new MappedShard(file, index) : null;
        mapped?.VerifyChecksums(1, null, CancellationToken.None);
    }

    private static void Change(Random random, ContainerBuilder container)
    {
        var name = Names[random.Next(Names.Length)];
        if (container.Members.All(member => member.Name != name))
        {
            return;
        }

        switch (random.Next(9))
        {
            case 0: container.Without(name); break;
            case 1: container.Add(random.Next(2) == 0 ? name : $"archive/{Printable(Values.Text(random))}", 1, 2, 3); break;
            case 2: container.With(name, member => new(Printable(Values.Text(random)), member.Data)); break;
            case 3: container.With(name, member => new(name, member.Data) { LocalName = Printable(Values.Text(random)) }); break;
            case 4: container.With(name, member => new(name, member.Data) { Method = (ushort)random.Next(20), Flags = (ushort)random.Next(65536) }); break;
            case 5: container.With(name, member => new(name, member.Data) { Size = unchecked((uint)Values.Number(random)) }); break;
            case 6: container.With(name, member => new(name, member.Data) { Offset = unchecked((uint)Values.Number(random)) }); break;
            case 7: container.With(name, member => new(name, member.Data) { ExtraInDirectory = Bytes(random), Gap = Bytes(random) }); break;
            default: container.With(name, member => new(name, Values.Damage(random, [.. member.Data]))); break;
        }
    }

    // The right one, one with numbers that lie, or one of opcodes at random.
    private static byte[] Pickle(Random random)
    {
        var pickle = random.Next(5) switch
        {
            0 => PickleAssembler.OneTensor(),
            1 => PickleAssembler.OneTensor(Values.Number(random)),
            2 => PickleAssembler.OneTensor(
                random.Next(0, 30), random.Next(-1, 8), Numbers(random), Numbers(random), Classes[random.Next(Classes.Length)], random.Next(5) == 0 ? "1" : "0"),
            3 => PickleAssembler.Entry(part => Opcodes(random, part)),
            _ => PickleAssembler.Whole(part => Opcodes(random, part)),
        };
        return random.Next(3) == 0 ? Values.Damage(random, pickle) : pickle;
    }

    private static PickleAssembler Opcodes(Random random, PickleAssembler pickle)
    {
        for (var count = random.Next(1, 30); count > 0; count--)
        {
            pickle = random.Next(10) switch
            {
                0 => pickle.Text(Printable(Values.Text(random))),
                1 => pickle.Integer(Values.Number(random)),
                2 => pickle.Global(random.Next(2) == 0 ? "torch" : "os", random.Next(2) == 0 ? "FloatStorage" : "system"),
                3 => pickle.Tensor(random.Next(0, 30), 0, Numbers(random), Numbers(random)),
                4 => pickle.Tuple(Numbers(random)),
                5 => pickle.Text("a", Values.Number(random)),
                6 => pickle.Raw(0x80, (byte)random.Next(8)),
                _ => pickle.Raw((byte)"}](tsuaQR)b\x85\x86\x87\x88\x89N0.2eq\x94\x95h\x93cMKJ"[random.Next(29)]),
            };
        }

        return pickle;
    }

    private static long[] Numbers(Random random)
        => [.. Enumerable.Range(0, random.Next(0, 10)).Select(_ => random.Next(3) == 0 ? Values.Number(random) : random.Next(0, 7))];

    private static byte[] Bytes(Random random)
    {
        var bytes = new byte[random.Next(0, 24)];
        random.NextBytes(bytes);
        return bytes;
    }

    private static string Printable(string text) => Encoding.UTF8.GetString(Encoding.UTF8.GetBytes(text));
}
