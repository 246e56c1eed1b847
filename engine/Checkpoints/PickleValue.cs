namespace Distributed.Engine.Checkpoints;

/// <summary>
/// What a pickle may build here: a closed set of kinds, each a plain C# object that this file names. Nothing is looked up by a name
/// from the file and nothing of the file is run.
/// </summary>
internal abstract record PickleValue
{
    /// <summary>How many containers lie inside one another below this one; the machine bounds it.</summary>
    public virtual int Depth => 0;

    /// <summary>Python's name of the kind, for messages.</summary>
    public abstract string Kind { get; }
}

internal sealed record PickleNone : PickleValue
{
    public static PickleNone Instance { get; } = new();

    public override string Kind => "None";
}

internal sealed record PickleBool(bool Value) : PickleValue
{
    public override string Kind => "bool";
}

internal sealed record PickleInt(long Value) : PickleValue
{
    public override string Kind => "int";
}

internal sealed record PickleFloat(double Value) : PickleValue
{
    public override string Kind => "float";
}

internal sealed record PickleString(string Value) : PickleValue
{
    public override string Kind => "str";
}

internal sealed record PickleTuple(PickleValue[] Items) : PickleValue
{
    public override int Depth { get; } = 1 + Items.Select(item => item.Depth).DefaultIfEmpty(-1).Max();

    public override string Kind => "tuple";
}

/// <summary>A list or a dict: filled after it is made, so its depth grows with what is put in.</summary>
internal abstract record PickleContainer : PickleValue
{
    private int _depth;

    public override int Depth => _depth;

    protected void Contain(PickleValue item) => _depth = Math.Max(_depth, item.Depth + 1);
}

/// <summary>
/// Lists occur in training checkpoints only; they are read so that the error can name the entry that is no tensor, and not kept.
/// </summary>
internal sealed record PickleList : PickleContainer
{
    public override string Kind => "list";

    public void Add(PickleValue item) => Contain(item);
}

/// <summary>A dict or an OrderedDict. Entries are kept as they came: whether a key may repeat is for the reader to say.</summary>
internal sealed record PickleDict(bool IsOrdered) : PickleContainer
{
    private List<KeyValuePair<string, PickleValue>>? _entries;

    public override string Kind => IsOrdered ? "OrderedDict" : "dict";

    public IReadOnlyList<KeyValuePair<string, PickleValue>> Entries => _entries ?? [];

    public void Add(string key, PickleValue value)
    {
        Contain(value);
        (_entries ??= new(1)).Add(new(key, value));
    }
}

/// <summary>A class or function of the allow-list.</summary>
internal sealed record PickleGlobal(PickleFunction Function) : PickleValue
{
    public override string Kind => Function.ToString();
}

/// <summary>A storage class, <c>torch.FloatStorage</c>.</summary>
internal sealed record PickleStorageClass(StorageType Type) : PickleValue
{
    public override string Kind => $"class of {Type.Name} storages";
}

/// <summary>A storage: the member <c>data/Key</c> of the container, as the pickle declares it.</summary>
internal sealed record PickleStorage(StorageType Type, string Key, long ElementCount) : PickleValue
{
    public override string Kind => "storage";
}

/// <summary>A tensor as the pickle declares it; nothing is checked yet.</summary>
internal sealed record PickleTensor(PickleStorage Storage, long Offset, long[] Shape, long[] Strides) : PickleValue
{
    public override string Kind => "tensor";
}

/// <summary>The functions that REDUCE may call, each written out in <see cref="PickleReduce"/>.</summary>
internal enum PickleFunction
{
    /// <summary><c>collections.OrderedDict()</c></summary>
    OrderedDict,

    /// <summary><c>torch._utils._rebuild_tensor(storage, offset, size, stride)</c></summary>
    RebuildTensor,

    /// <summary><c>torch._utils._rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks[, metadata])</c></summary>
    RebuildTensorV2,

    /// <summary><c>torch._utils._rebuild_parameter(tensor, requires_grad, hooks)</c></summary>
    RebuildParameter,
}
