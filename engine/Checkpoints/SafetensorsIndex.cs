using System.Buffers.Binary;
using System.Collections.Frozen;
using System.Collections.Immutable;
using System.Text.Json;

namespace Distributed.Engine.Checkpoints;

/// <summary>
/// What one <c>.safetensors</c> file holds: eight bytes of header length, the header in JSON, and the tensors back to back
/// (github.com/huggingface/safetensors, tensor.rs). Tensors fill the file from the header to the end: no hole, no overlap, nothing behind.
/// </summary>
internal sealed class SafetensorsIndex
{
    /// <summary>The format's limit.</summary>
    private const int MaxHeaderByteCount = 100_000_000;

    private const int MaxDimensionCount = 8;
    private const int MaxTensorNameLength = 256;
    private const int MaxTensorCount = 1 << 16; // Llama 3.1 405B has 1138; what a tensor takes here is more than its entry in the header
    private const int LengthByteCount = sizeof(ulong);

    private readonly ShardFile _file;
    private readonly Dictionary<string, TensorEntry> _tensors = new(StringComparer.Ordinal);
    private long _dataStart;

    private SafetensorsIndex(ShardFile file) => _file = file;

    /// <summary>By name, in the file's own spelling.</summary>
    public FrozenDictionary<string, TensorEntry> Tensors { get; private set; } = FrozenDictionary<string, TensorEntry>.Empty;

    /// <exception cref="CheckpointException">The file is no valid safetensors file; what is wrong is named.</exception>
    public static SafetensorsIndex Read(ShardFile file)
    {
        var index = new SafetensorsIndex(file);
        try
        {
            index.ReadHeader();
        }
        catch (Exception error) when (error is JsonException or InvalidOperationException or FormatException)
        {
            throw file.Error($"has a header that is no valid JSON of a safetensors file ({Printable.Of(error.Message, 200)})");
        }

        index.RequireWhole();
        index.Tensors = index._tensors.ToFrozenDictionary(StringComparer.Ordinal);
        return index;
    }

    private void ReadHeader()
    {
        Span<byte> length = stackalloc byte[LengthByteCount];
        if (_file.ByteCount < LengthByteCount)
        {
            throw _file.Error($"has {_file.ByteCount} bytes, too few for a safetensors file; download it again");
        }

        _file.Read(0, length);
        if (length.StartsWith("version "u8))
        {
            throw _file.Error("is a Git LFS pointer, not the file; run git lfs pull");
        }

        var byteCount = BinaryPrimitives.ReadUInt64LittleEndian(length);
        if (byteCount < 2 || byteCount > MaxHeaderByteCount || byteCount > (ulong)_file.ByteCount - LengthByteCount)
        {
            throw _file.Error(
                $"says that its header has {byteCount} bytes, which is not 2 to {MaxHeaderByteCount} and within the file of "
                + $"{_file.ByteCount}; it is no safetensors file or was cut, so download it again");
        }

        // Believed now: the bytes are there.
        var header = new byte[(int)byteCount];
        _file.Read(LengthByteCount, header);
        _dataStart = LengthByteCount + header.Length;
        if (header[0] != '{')
        {
            throw _file.Error("has a header that does not begin with '{'; it is no safetensors file");
        }

        var reader = new Utf8JsonReader(header, new JsonReaderOptions { MaxDepth = 4 });
        reader.Read();
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            if (_tensors.Count == MaxTensorCount)
            {
                throw _file.Error($"has more than {MaxTensorCount} tensors, as no Llama does");
            }

            var name = NameAt(ref reader);
            reader.Read();
            if (name == "__metadata__")
            {
                reader.Skip();
            }
            else if (!_tensors.TryAdd(name, ReadTensor(ref reader, name)))
            {
                throw _file.Error($"names tensor '{Printable.Of(name)}' twice");
            }
        }

        while (reader.Read())
        {
            // Nothing but white space may follow; the reader itself throws where something else does.
        }
    }

    private string NameAt(ref Utf8JsonReader reader)
        => reader.ValueSpan.Length is > 0 and <= MaxTensorNameLength && reader.GetString() is { } name
            ? name
            : throw _file.Error($"has a tensor whose name has {reader.ValueSpan.Length} bytes, not 1 to {MaxTensorNameLength}");

    private TensorEntry ReadTensor(ref Utf8JsonReader reader, string name)
    {
        string? type = null;
        List<long>? shape = null;
        List<long>? offsets = null;
        if (reader.TokenType != JsonTokenType.StartObject)
        {
            throw Wrong(name, "is no object");
        }

        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            if (type is null && reader.ValueTextEquals("dtype"u8))
            {
                reader.Read();
                type = reader.GetString();
            }
            else if (shape is null && reader.ValueTextEquals("shape"u8))
            {
                shape = ReadNumbers(ref reader, name, MaxDimensionCount);
            }
            else if (offsets is null && reader.ValueTextEquals("data_offsets"u8))
            {
                offsets = ReadNumbers(ref reader, name, 2);
            }
            else
            {
                throw Wrong(name, $"with the key '{Printable.Of(reader.GetString() ?? "")}', which no or only one tensor has");
            }
        }

        if (type is null || shape is null || offsets is not [var begin, var end])
        {
            throw _file.Error($"has tensor '{Printable.Of(name)}' without dtype, shape and two data_offsets");
        }

        var storage = StorageType.BySafetensorsName.GetValueOrDefault(type)
            ?? throw _file.Error($"has tensor '{Printable.Of(name)}' in {Printable.Of(type)}; save it again in F32, BF16 or F16");
        var size = shape.Aggregate((Int128)storage.ItemByteCount, (product, extent) => product > long.MaxValue ? product : product * extent);
        if (begin > end || end > _file.ByteCount - _dataStart)
        {
            throw Wrong(name, $"at bytes {begin} to {end}, outside of the file");
        }

        if (size != end - begin)
        {
            throw Wrong(name, $"with {end - begin} bytes, which is not {TensorLayout.Format([.. shape])} of {storage.Name}");
        }

        return new TensorEntry(name, storage, [.. shape], _dataStart + begin, end - begin);
    }

    private List<long> ReadNumbers(ref Utf8JsonReader reader, string name, int maxCount)
    {
        var numbers = new List<long>();
        reader.Read();
        if (reader.TokenType != JsonTokenType.StartArray)
        {
            throw Wrong(name, "with a shape or data_offsets that is no list");
        }

        while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
        {
            if (numbers.Count == maxCount || reader.TokenType != JsonTokenType.Number || !reader.TryGetInt64(out var number) || number < 0)
            {
                throw Wrong(name, $"with a shape or data_offsets that is not at most {maxCount} numbers from 0");
            }

            numbers.Add(number);
        }

        return numbers;
    }

    /// <summary>In the order of their offsets the tensors must follow each other to the end of the file.</summary>
    private void RequireWhole()
    {
        var next = _dataStart;
        foreach (var tensor in _tensors.Values.OrderBy(tensor => tensor.Offset).ThenBy(tensor => tensor.ByteCount))
        {
            if (tensor.Offset != next)
            {
                throw Wrong(tensor.Name, $"at byte {tensor.Offset}, where the one before it ends at {next}");
            }

            next += tensor.ByteCount;
        }

        if (next != _file.ByteCount)
        {
            throw _file.Error($"has {_file.ByteCount} bytes but its tensors end at {next}; it was cut or something was added, so download it again");
        }
    }

    private CheckpointException Wrong(string name, string problem) => _file.Error($"has tensor '{Printable.Of(name)}' {problem}");
}
