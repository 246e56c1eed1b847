using System.Collections.Frozen;
using System.Collections.Immutable;
using System.Text;
using Distributed.Engine.Kernels;

namespace Distributed.Engine.Checkpoints;

/// <summary>
/// What one <c>.pth</c> holds: the zip container's directory joined with the pickle in it. The only way to a tensor, whoever reads it
/// later.
/// </summary>
internal sealed class ShardIndex
{
    /// <summary>The pickle of a Llama of 126 layers has 150 KB.</summary>
    private const int MaxPickleByteCount = 16 << 20;

    private const int MaxTensorNameLength = 256;
    private const string StorageFolder = "data/";

    private readonly ShardFile _file;
    private readonly Dictionary<string, ZipMember> _members = new(StringComparer.Ordinal);    // without the top folder

    private ShardIndex(ShardFile file) => _file = file;

    /// <summary>By name, all that the pickle lists.</summary>
    public FrozenDictionary<string, TensorEntry> Tensors { get; private set; } = FrozenDictionary<string, TensorEntry>.Empty;

    /// <summary>The storages, in the order in which they lie in the file; every one is some tensor's.</summary>
    public ImmutableArray<ZipMember> Storages { get; private set; } = [];

    /// <summary>Bytes of all storages.</summary>
    public long ByteCount => Storages.Sum(storage => storage.ByteCount);

    /// <exception cref="CheckpointException">The file is not what torch.save writes for a dictionary of tensors.</exception>
    public static ShardIndex Read(ShardFile file)
    {
        RequireContainer(file);
        var index = new ShardIndex(file);
        index.ReadMembers();
        index.RequireFormat();
        index.ReadTensors();
        return index;
    }

    /// <summary>Names what the file is where it plainly is something else.</summary>
    private static void RequireContainer(ShardFile file)
    {
        Span<byte> head = stackalloc byte[512];
        head = head[..(int)Math.Min(head.Length, file.ByteCount)];
        file.Read(0, head);
        if (head.StartsWith("PK\u0003\u0004"u8))
        {
            return;
        }

        throw file.Error(
            head is [0x80, ..] || (head.Length > 262 && head[257..].StartsWith("ustar"u8))
                ? "is in the format that torch.save had before 1.6; load it with torch and save it again"
            : head.StartsWith("version https://git-lfs"u8)
                ? "is a Git LFS pointer, not the file; run git lfs pull"
            : head.StartsWith("GGUF"u8)
                ? "is a GGUF file; give the folder of Meta's consolidated.NN.pth files"
            : "is no checkpoint of torch.save (a zip container); download it again");
    }

    private void ReadMembers()
    {
        var all = ZipDirectory.Read(_file);
        var root = all[0].Name.Split('/')[0] + "/";
        foreach (var member in all)
        {
            if (!member.Name.StartsWith(root, StringComparison.Ordinal))
            {
                throw _file.Error($"holds '{member.Name}' outside of its folder '{root}'; torch.save writes one folder");
            }

            _members.Add(member.Name[root.Length..], member);
        }
    }

    /// <summary>The members that say how the rest is to be read.</summary>
    private void RequireFormat()
    {
        foreach (var name in _members.Keys)
        {
            if (name == "constants.pkl" || name.StartsWith("code/", StringComparison.Ordinal))
            {
                throw _file.Error("is a TorchScript archive, which holds code; save the state dict of the model with torch.save");
            }

            // Names with a leading dot are torch's notes on the file (.format_version, .data/serialization_id).
            if (name is not ("data.pkl" or "version" or "byteorder") && !IsStorage(name) && name[0] != '.')
            {
                throw _file.Error($"holds a member '{name}', which no checkpoint of torch.save has");
            }
        }

        var version = ReadText("version");
        if (!int.TryParse(version, out var number) || number is < 1 or > 10)
        {
            throw _file.Error($"has the format version '{version}'; 1 to 10 are known");
        }

        if (_members.ContainsKey("byteorder") && ReadText("byteorder") is var order && order != "little")
        {
            throw _file.Error($"was saved with byte order '{order}'; save it again on a little-endian machine");
        }
    }

    private void ReadTensors()
    {
        var pickle = ReadSmall("data.pkl", MaxPickleByteCount);
        if (PickleMachine.Load(pickle, _file.Error) is not PickleDict state)
        {
            throw _file.Error("holds something other than a dict of tensors; save only the state dict of the model");
        }

        var tensors = new Dictionary<string, TensorEntry>(StringComparer.Ordinal);
        var storages = new Dictionary<string, PickleStorage>(StringComparer.Ordinal);
        foreach (var (name, value) in state.Entries)
        {
            if (name.Length is 0 or > MaxTensorNameLength)
            {
                throw _file.Error($"holds a tensor whose name has {name.Length} characters, not 1 to {MaxTensorNameLength}");
            }

            if (value is not PickleTensor tensor)
            {
                throw _file.Error($"holds '{name}', which is a {value.Kind} and no tensor; save only the state dict of the model");
            }

            if (tensor.Storage.Key.Length > MaxTensorNameLength)
            {
                throw _file.Error($"has a storage whose key has {tensor.Storage.Key.Length} characters, more than {MaxTensorNameLength}");
            }

            if (storages.TryGetValue(tensor.Storage.Key, out var known) && known != tensor.Storage)
            {
                throw _file.Error($"describes the storage of tensor '{name}' in two ways");
            }

            storages[tensor.Storage.Key] = tensor.Storage;
            if (!tensors.TryAdd(name, Locate(name, tensor)))
            {
                throw _file.Error($"names tensor '{name}' twice");
            }
        }

        // A storage that no tensor uses is a sign that some tensor uses the wrong one.
        if (_members.Keys.FirstOrDefault(name => IsStorage(name) && !storages.ContainsKey(name[StorageFolder.Length..])) is { } unused)
        {
            throw _file.Error($"holds the storage '{unused}', which no tensor uses");
        }

        Tensors = tensors.ToFrozenDictionary(StringComparer.Ordinal);
        Storages = [.. storages.Keys.Select(key => _members[StorageFolder + key]).OrderBy(member => member.Offset)];
    }

    private TensorEntry Locate(string name, PickleTensor tensor)
    {
        var (type, key, count) = tensor.Storage;
        if (!_members.TryGetValue(StorageFolder + key, out var member))
        {
            throw _file.Error($"has no storage 'data/{key}' for tensor '{name}'; it may be damaged, so download it again");
        }

        if (!TensorLayout.StorageFits(count, type.ItemByteCount, member.ByteCount))
        {
            throw _file.Error($"has {member.ByteCount} bytes for tensor '{name}', whose storage has {count} elements of {type.Name}");
        }

        if (member.Offset % type.ItemByteCount != 0)
        {
            throw _file.Error($"has tensor '{name}' at byte {member.Offset}, not aligned to {type.Name}; save it again with torch.save");
        }

        if (TensorLayout.Check(tensor.Shape, tensor.Strides, tensor.Offset, count, out var elementCount) is { } problem)
        {
            throw _file.Error($"has tensor '{name}', which {problem}");
        }

        // In range: offset and count lie in the storage, whose bytes lie in the file.
        return new TensorEntry(
            name, type, [.. tensor.Shape], member.Offset + (tensor.Offset * type.ItemByteCount), elementCount * type.ItemByteCount);
    }

    private static bool IsStorage(string name) => name.StartsWith(StorageFolder, StringComparison.Ordinal);

    private string ReadText(string name) => Printable.Of(Encoding.ASCII.GetString(ReadSmall(name, 64)).TrimEnd());

    /// <summary>
    /// A member that is read at once, checked against its checksum: a bit that flips here would change what the tensors are.
    /// </summary>
    private byte[] ReadSmall(string name, int maxByteCount)
    {
        if (!_members.TryGetValue(name, out var member) || member.ByteCount > maxByteCount)
        {
            throw _file.Error($"has no member '{name}' of at most {maxByteCount} bytes, as torch.save writes; download or save it again");
        }

        var bytes = new byte[member.ByteCount];
        _file.Read(member.Offset, bytes);
        if (Crc32.Append(0, bytes) != member.Crc32)
        {
            throw _file.Error($"is damaged: its member '{name}' does not match its checksum; download it again");
        }

        return bytes;
    }
}
