using System.Collections.Frozen;

namespace Distributed.Engine.Checkpoints;

/// <summary>
/// The allow-list of globals and what calling them means: the part of torch's <c>weights_only</c> unpickler
/// (torch/_weights_only_unpickler.py) that a dictionary of tensors needs. A global is an enum member; there is no way from a name to code.
/// </summary>
internal static class PickleReduce
{
    private static readonly FrozenDictionary<string, PickleFunction> Functions = new Dictionary<string, PickleFunction>
    {
        ["collections.OrderedDict"] = PickleFunction.OrderedDict,
        ["torch._utils._rebuild_tensor"] = PickleFunction.RebuildTensor,
        ["torch._utils._rebuild_tensor_v2"] = PickleFunction.RebuildTensorV2,
        ["torch._utils._rebuild_parameter"] = PickleFunction.RebuildParameter,
    }.ToFrozenDictionary(StringComparer.Ordinal);

    /// <summary>The global of this name; <see langword="null"/> where it is not on the list.</summary>
    public static PickleValue? Find(string name)
        => Functions.TryGetValue(name, out var function) ? new PickleGlobal(function)
            : StorageType.ByGlobal.TryGetValue(name, out var type) ? new PickleStorageClass(type)
            : null;

    /// <summary>What the call returns; <see langword="null"/> where the arguments do not have the form that torch writes.</summary>
    public static PickleValue? Call(PickleFunction function, PickleValue[] arguments) => (function, arguments) switch
    {
        (PickleFunction.OrderedDict, []) => new PickleDict(IsOrdered: true),
        (PickleFunction.RebuildTensor, [PickleStorage storage, PickleInt offset, PickleTuple shape, PickleTuple strides])
            => Tensor(storage, offset, shape, strides),
        (PickleFunction.RebuildTensorV2,
            [PickleStorage storage, PickleInt offset, PickleTuple shape, PickleTuple strides, PickleBool,
                PickleDict { Entries.Count: 0 }, .. var more])
            when more is [] or [PickleNone] or [PickleDict { Entries.Count: 0 }]
            => Tensor(storage, offset, shape, strides),
        (PickleFunction.RebuildParameter, [PickleTensor tensor, PickleBool, PickleDict { Entries.Count: 0 }]) => tensor,
        _ => null,
    };

    /// <summary>
    /// A persistent id: <c>('storage', class, key, location, element count)</c>. The location is where it lay at torch.save, which does
    /// not matter.
    /// </summary>
    public static PickleStorage? LoadPersistent(PickleValue id) => id is PickleTuple
    {
        Items: [PickleString { Value: "storage" }, PickleStorageClass type, PickleString key, PickleString, PickleInt count],
    }
        ? new PickleStorage(type.Type, key.Value, count.Value)
        : null;

    private static PickleTensor? Tensor(PickleStorage storage, PickleInt offset, PickleTuple shape, PickleTuple strides)
        => Integers(shape) is { } extents && Integers(strides) is { } steps
            ? new PickleTensor(storage, offset.Value, extents, steps)
            : null;

    private static long[]? Integers(PickleTuple tuple)
        => tuple.Items.Length <= TensorLayout.MaxDimensionCount && tuple.Items.All(item => item is PickleInt)
            ? [.. tuple.Items.Cast<PickleInt>().Select(item => item.Value)]
            : null;
}
