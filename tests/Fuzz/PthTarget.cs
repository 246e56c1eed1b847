using System.Text;
using Distributed.Engine.Checkpoints;
using Distributed.Engine.Tests.Checkpoints;

namespace Distributed.Fuzz;

/// <summary>consolidated.00.pth: a zip container whose fields lie, and pickles of known and unknown opcodes with right checksums around them.</summary>
internal sealed class PthTarget : TensorFileTarget
{
    private static readonly (string Name, int ItemByteCount)[] Classes =
    [
        ("FloatStorage", 4), ("BFloat16Storage", 2), ("HalfStorage", 2), ("LongStorage", 8), ("BoolStorage", 1), ("ComplexDoubleStorage", 16), ("EvilStorage", 4),
    ];

    private static readonly string[] Names = ["archive/data.pkl", "archive/byteorder", "archive/data/0", "archive/version"];

    public override string Name => "pth";

    public override string FileName => "consolidated.00.pth";

    // A lie on one level hides those on the levels below it, so most inputs lie on one: the pickle's opcodes, the tensors' numbers, or the container.
    public override byte[] Make(Random random) => random.Next(8) switch
    {
        0 or 1 => ContainerBuilder.OneTensor(Pickle(random)).Build(),
        2 or 3 or 4 => Layout(random).Build(),
        5 => Container(random, Layout(random)),
        6 => Container(random, ContainerBuilder.OneTensor()),
        _ => Container(random, ContainerBuilder.OneTensor(Pickle(random))),
    };

    public override void Read(byte[] input, string path)
    {
        using var file = Open(input, path);
        var index = ShardIndex.Read(file);
        Check(file, index.Tensors.Values);
        Require(
            index.Tensors.Values.All(tensor => index.Storages.Any(storage
                => tensor.Offset >= storage.Offset && tensor.Offset + tensor.ByteCount <= storage.Offset + storage.ByteCount)),
            "a tensor lies within one storage");
        using var mapped = NeedsFile(input) && index.Tensors.Values.All(tensor => tensor.Type.TensorType is not null) ? new MappedShard(file, index) : null;
        mapped?.VerifyChecksums(1, null, CancellationToken.None);
    }

    private static byte[] Container(Random random, ContainerBuilder container)
    {
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

    // Tensors over storages that are there with as many bytes as they say; what a tensor says of its place in one is right or nearly so.
    private static ContainerBuilder Layout(Random random)
    {
        var storages = Enumerable.Range(0, random.Next(1, 4)).Select(_ => (Class: Classes[random.Next(random.Next(4) == 0 ? Classes.Length : 3)], Count: random.Next(0, 40))).ToArray();
        var pickle = PickleAssembler.Whole(part =>
        {
            part.Raw('}');
            for (var number = 0; number < storages.Length + random.Next(-1, 3); number++)
            {
                var key = number < storages.Length ? number : random.Next(storages.Length);
                var (type, count) = storages[key];
                var (offset, shape, strides) = Place(random, count);
                part.Text(random.Next(20) == 0 ? "w0" : $"w{number}")
                    .Tensor(random.Next(12) == 0 ? Values.Number(random) : count, offset, shape, strides, type.Name, $"{key}").Raw('s');
            }

            return part;
        });
        var container = ContainerBuilder.OneTensor(pickle).Without("archive/data/0");
        container.Members.InsertRange(
            2, storages.Select((storage, key) => new ContainerBuilder.Member($"archive/data/{key}", new byte[(storage.Count * storage.Class.ItemByteCount) + (random.Next(16) == 0 ? 1 : 0)])));
        return container;
    }

    private static (long Offset, long[] Shape, long[] Strides) Place(Random random, int count)
    {
        long[] shape = [.. Enumerable.Range(0, random.Next(1, 4)).Select(_ => (long)random.Next(random.Next(8) == 0 ? 0 : 1, 5))];
        var strides = new long[shape.Length];
        var stride = 1L;
        for (var axis = shape.Length - 1; axis >= 0; axis--)
        {
            (strides[axis], stride) = (stride, stride * shape[axis]);
        }

        var offset = Math.Max(0, count - stride) is var room && random.Next(3) == 0 ? random.NextInt64(room + 2) : 0;
        switch (random.Next(8))
        {
            case 0: offset = Values.Number(random); break;
            case 1: shape[random.Next(shape.Length)] = Values.Number(random); break;
            case 2: strides[random.Next(strides.Length)] = Values.Number(random); break;
            case 3: shape = [.. shape, Values.Number(random), Values.Number(random)]; break;
            case 4: (shape, strides) = ([.. shape, 1, 1], [.. strides, random.Next(0, 9), Values.Number(random)]); break; // of one element a stride means nothing
        }

        return (offset, shape, strides);
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
                random.Next(0, 30), random.Next(-1, 8), Numbers(random), Numbers(random), Classes[random.Next(Classes.Length)].Name, random.Next(5) == 0 ? "1" : "0"),
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
