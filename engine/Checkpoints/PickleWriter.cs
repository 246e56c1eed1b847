using System.Buffers.Binary;
using System.Text;

namespace Distributed.Engine.Checkpoints;

/// <summary>
/// Writes the pickle of a dict of tensors, each with a storage of its own. No memo: a name that recurs is written again, which every
/// unpickler reads the same.
/// </summary>
internal static class PickleWriter
{
    /// <summary>What torch.save has as data.pkl; the storage of the n-th tensor is <c>data/n</c>.</summary>
    public static byte[] StateDict(IReadOnlyList<ShardTensor> tensors)
    {
        var pickle = new MemoryStream();
        Put(pickle, PickleOpcode.Protocol);
        pickle.WriteByte(2);
        Put(pickle, PickleOpcode.EmptyDict);
        Put(pickle, PickleOpcode.Mark);
        for (var number = 0; number < tensors.Count; number++)
        {
            PutString(pickle, tensors[number].Name);
            PutTensor(pickle, tensors[number], key: number.ToString(provider: null));
        }

        Put(pickle, PickleOpcode.SetItems);
        Put(pickle, PickleOpcode.Stop);
        return pickle.ToArray();
    }

    /// <summary><c>_rebuild_tensor_v2(storage, 0, size, stride, False, OrderedDict())</c></summary>
    private static void PutTensor(MemoryStream pickle, ShardTensor tensor, string key)
    {
        PutGlobal(pickle, "torch._utils", "_rebuild_tensor_v2");
        Put(pickle, PickleOpcode.Mark);
        PutStorage(pickle, tensor, key);
        PutInteger(pickle, 0);
        PutTuple(pickle, tensor.Shape.AsSpan());
        PutTuple(pickle, RowMajorStrides(tensor.Shape.AsSpan()));
        Put(pickle, PickleOpcode.NewFalse);
        PutGlobal(pickle, "collections", "OrderedDict");
        Put(pickle, PickleOpcode.EmptyTuple);
        Put(pickle, PickleOpcode.Reduce);
        Put(pickle, PickleOpcode.Tuple);
        Put(pickle, PickleOpcode.Reduce);
    }

    /// <summary>The persistent id <c>('storage', torch.XStorage, key, 'cpu', element count)</c>.</summary>
    private static void PutStorage(MemoryStream pickle, ShardTensor tensor, string key)
    {
        Put(pickle, PickleOpcode.Mark);
        PutString(pickle, "storage");
        PutGlobal(pickle, "torch", StorageType.Of(tensor.Type).ClassName);
        PutString(pickle, key);
        PutString(pickle, "cpu");
        PutInteger(pickle, tensor.ElementCount);
        Put(pickle, PickleOpcode.Tuple);
        Put(pickle, PickleOpcode.BinPersistentId);
    }

    private static long[] RowMajorStrides(ReadOnlySpan<long> shape)
    {
        var strides = new long[shape.Length];
        long stride = 1;
        for (var dimension = shape.Length - 1; dimension >= 0; dimension--)
        {
            strides[dimension] = stride;
            stride = checked(stride * shape[dimension]);
        }

        return strides;
    }

    private static void Put(MemoryStream pickle, PickleOpcode opcode) => pickle.WriteByte((byte)opcode);

    private static void PutGlobal(MemoryStream pickle, string module, string name)
    {
        Put(pickle, PickleOpcode.Global);
        pickle.Write(Encoding.UTF8.GetBytes($"{module}\n{name}\n"));
    }

    private static void PutString(MemoryStream pickle, string text)
    {
        var bytes = Encoding.UTF8.GetBytes(text);
        Span<byte> count = stackalloc byte[sizeof(int)];
        BinaryPrimitives.WriteInt32LittleEndian(count, bytes.Length);
        Put(pickle, PickleOpcode.BinUnicode);
        pickle.Write(count);
        pickle.Write(bytes);
    }

    private static void PutInteger(MemoryStream pickle, long value)
    {
        Span<byte> bytes = stackalloc byte[sizeof(long)];
        BinaryPrimitives.WriteInt64LittleEndian(bytes, value);
        if (value <= int.MaxValue)
        {
            Put(pickle, PickleOpcode.BinInt);
            pickle.Write(bytes[..sizeof(int)]);
            return;
        }

        Put(pickle, PickleOpcode.Long1);
        pickle.WriteByte(sizeof(long));
        pickle.Write(bytes);
    }

    private static void PutTuple(MemoryStream pickle, ReadOnlySpan<long> numbers)
    {
        Put(pickle, PickleOpcode.Mark);
        foreach (var number in numbers)
        {
            PutInteger(pickle, number);
        }

        Put(pickle, PickleOpcode.Tuple);
    }
}
