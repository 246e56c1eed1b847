using System.Buffers.Binary;
using System.Text;

namespace Distributed.Engine.Checkpoints;

/// <summary>
/// Runs the little stack program that a pickle is, as far as a dictionary of tensors goes: a loop, no recursion, no reflection, an
/// allow-list of opcodes and globals, and a bound on all that can grow. What the list lacks is refused with its name and nothing of the
/// file is carried out.
/// </summary>
/// <remarks>Protocol 2, which torch.save writes. Memory: no length is believed before the bytes are there.</remarks>
internal sealed class PickleMachine
{
    /// <summary>A tensor takes about 30 opcodes; Llama 3.1 405B has 1,138 tensors.</summary>
    private const int MaxOpcodeCount = 1_000_000;

    /// <summary>Python batches SETITEMS by 1,000 pairs.</summary>
    private const int MaxStackCount = 10_000;

    private const int MaxDepth = 64;
    private const int MaxMemoCount = 1_000_000;
    private const int MaxStringByteCount = 64 * 1024;
    private const int MaxGlobalByteCount = 256;

    private static readonly UTF8Encoding StrictUtf8 = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    private readonly byte[] _pickle;
    private readonly Func<string, CheckpointException> _error;
    private readonly List<PickleValue> _stack = [];
    private readonly Stack<int> _marks = [];    // heights of the stack
    private readonly List<PickleValue> _memo = [];
    private int _position;

    private PickleMachine(byte[] pickle, Func<string, CheckpointException> error)
    {
        _pickle = pickle;
        _error = error;
    }

    /// <summary>The value that the pickle describes.</summary>
    /// <param name="pickle">All of <c>data.pkl</c>.</param>
    /// <param name="error">Makes the exception from what is wrong, a phrase that follows the file's name.</param>
    public static PickleValue Load(byte[] pickle, Func<string, CheckpointException> error) => new PickleMachine(pickle, error).Run();

    private PickleValue Run()
    {
        if (_pickle is not [(byte)PickleOpcode.Protocol, 2, ..])
        {
            throw _error(_pickle is [(byte)PickleOpcode.Protocol, var version, ..]
                ? $"has a pickle of protocol {version}; torch.save writes protocol 2 unless told otherwise, so save it again "
                    + "without pickle_protocol"
                : "has a data.pkl that does not begin with a pickle protocol; save it again with torch.save");
        }

        _position = 2;
        for (var count = 0; count < MaxOpcodeCount; count++)
        {
            var opcode = Take(1)[0];
            if (opcode != (byte)PickleOpcode.Stop)
            {
                Step(opcode);
                continue;
            }

            if (_marks.Count != 0 || _stack.Count != 1 || _position != _pickle.Length)
            {
                throw Malformed("ends with values or bytes left over");
            }

            return _stack[0];
        }

        throw Malformed($"has more than {MaxOpcodeCount} opcodes");
    }

    private void Step(byte opcode)
    {
        switch ((PickleOpcode)opcode)
        {
            case PickleOpcode.Mark: PushMark(); break;
            case PickleOpcode.BinInt: Push(new PickleInt(BinaryPrimitives.ReadInt32LittleEndian(Take(4)))); break;
            case PickleOpcode.BinInt1: Push(new PickleInt(Take(1)[0])); break;
            case PickleOpcode.BinInt2: Push(new PickleInt(BinaryPrimitives.ReadUInt16LittleEndian(Take(2)))); break;
            case PickleOpcode.Long1: Push(new PickleInt(TakeLong())); break;
            case PickleOpcode.BinFloat: Push(new PickleFloat(BinaryPrimitives.ReadDoubleBigEndian(Take(8)))); break;
            case PickleOpcode.None: Push(PickleNone.Instance); break;
            case PickleOpcode.NewTrue: Push(new PickleBool(true)); break;
            case PickleOpcode.NewFalse: Push(new PickleBool(false)); break;
            case PickleOpcode.BinUnicode: Push(new PickleString(TakeString())); break;
            case PickleOpcode.EmptyTuple: Push(new PickleTuple([])); break;
            case PickleOpcode.Tuple1: Push(new PickleTuple(Pop(1))); break;
            case PickleOpcode.Tuple2: Push(new PickleTuple(Pop(2))); break;
            case PickleOpcode.Tuple3: Push(new PickleTuple(Pop(3))); break;
            case PickleOpcode.Tuple: Push(new PickleTuple(PopMarked())); break;
            case PickleOpcode.EmptyList: Push(new PickleList()); break;
            case PickleOpcode.Append: Append(Pop(1)); break;
            case PickleOpcode.Appends: Append(PopMarked()); break;
            case PickleOpcode.EmptyDict: Push(new PickleDict(IsOrdered: false)); break;
            case PickleOpcode.SetItem: SetItems(Pop(2)); break;
            case PickleOpcode.SetItems: SetItems(PopMarked()); break;
            case PickleOpcode.BinPut: Put(Take(1)[0]); break;
            case PickleOpcode.LongBinPut: Put(BinaryPrimitives.ReadUInt32LittleEndian(Take(4))); break;
            case PickleOpcode.BinGet: Get(Take(1)[0]); break;
            case PickleOpcode.LongBinGet: Get(BinaryPrimitives.ReadUInt32LittleEndian(Take(4))); break;
            case PickleOpcode.Global: Push(FindGlobal()); break;
            case PickleOpcode.BinPersistentId:
                Push(PickleReduce.LoadPersistent(Pop(1)[0]) ?? throw Malformed("has a persistent id that is not that of a storage"));
                break;
            case PickleOpcode.Reduce: Reduce(); break;
            case PickleOpcode.Build: Build(); break;
            default:
                _position--;
                throw Malformed($"has the opcode {RefusedOpcodes.NameOf(opcode)}, which a dictionary of tensors does not need; "
                    + "nothing was run, and a file that asks for it may be an attack");
        }
    }

    private void PushMark()
    {
        if (_marks.Count == MaxDepth)
        {
            throw Malformed($"nests deeper than {MaxDepth}");
        }

        _marks.Push(_stack.Count);
    }

    private void Push(PickleValue value)
    {
        if (_stack.Count == MaxStackCount)
        {
            throw Malformed($"holds more than {MaxStackCount} values at once");
        }

        RequireShallow(value);
        _stack.Add(value);
    }

    private PickleValue[] Pop(int count)
    {
        // Values below the last mark are not this opcode's.
        if (_stack.Count - count < (_marks.TryPeek(out var mark) ? mark : 0))
        {
            throw Malformed("takes more values than it has");
        }

        var values = new PickleValue[count];
        _stack.CopyTo(_stack.Count - count, values, 0, count);
        _stack.RemoveRange(_stack.Count - count, count);
        return values;
    }

    private PickleValue[] PopMarked()
    {
        if (!_marks.TryPeek(out var mark))
        {
            throw Malformed("has no mark where it needs one");
        }

        var values = Pop(_stack.Count - mark);
        _marks.Pop();
        return values;
    }

    /// <summary>The value on top, which stays.</summary>
    private T Top<T>(string kind)
        where T : PickleValue
    {
        if (_stack.Count <= (_marks.TryPeek(out var mark) ? mark : 0) || _stack[^1] is not T value)
        {
            throw Malformed($"fills something that is no {kind}");
        }

        return value;
    }

    private void Append(PickleValue[] items)
    {
        var list = Top<PickleList>("list");
        foreach (var item in items)
        {
            list.Add(item);
        }

        RequireShallow(list);
    }

    private void SetItems(PickleValue[] items)
    {
        var dictionary = Top<PickleDict>("dict");
        if (items.Length % 2 != 0)
        {
            throw Malformed("has a key without a value");
        }

        for (var index = 0; index < items.Length; index += 2)
        {
            if (items[index] is not PickleString key)
            {
                throw Malformed($"has a dict key that is a {items[index].Kind}, not a str; save only the state dict of the model");
            }

            dictionary.Add(key.Value, items[index + 1]);
        }

        RequireShallow(dictionary);
    }

    private void Put(uint index)
    {
        // Python numbers the memo as it goes; a gap would be an index to allocate for.
        if (index > _memo.Count || index >= MaxMemoCount)
        {
            throw Malformed($"numbers a memo entry {index} after {_memo.Count}");
        }

        var value = Top<PickleValue>("value");
        if (index == _memo.Count)
        {
            _memo.Add(value);
        }
        else
        {
            _memo[(int)index] = value;
        }
    }

    private void Get(uint index)
        => Push(index < _memo.Count ? _memo[(int)index] : throw Malformed($"recalls a memo entry {index} of {_memo.Count}"));

    private PickleValue FindGlobal()
    {
        var name = $"{TakeLine()}.{TakeLine()}";
        return PickleReduce.Find(name)
            ?? throw Malformed($"names the global '{name}', which is not one of those that a dictionary of tensors needs; "
                + "nothing was run, and a file that asks for it may be an attack");
    }

    private void Reduce()
    {
        if (Pop(2) is not [PickleGlobal { Function: var function }, PickleTuple arguments])
        {
            throw Malformed("calls something that is no function");
        }

        Push(PickleReduce.Call(function, arguments.Items) ?? throw Malformed($"calls {function} with other arguments than torch does"));
    }

    /// <summary>
    /// <c>state_dict()</c> of a module is an OrderedDict with the attribute <c>_metadata</c>, versions of modules, which says nothing
    /// here.
    /// </summary>
    private void Build()
    {
        var state = Pop(1)[0];
        if (state is not PickleDict || Top<PickleValue>("value") is not PickleDict { IsOrdered: true })
        {
            throw Malformed("sets attributes of something that is no OrderedDict");
        }
    }

    private ReadOnlySpan<byte> Take(int count)
    {
        if (_pickle.Length - _position < count)
        {
            throw Malformed("ends in the middle");
        }

        _position += count;
        return _pickle.AsSpan(_position - count, count);
    }

    /// <summary>LONG1: a length of at most 8 here, then two's complement, little-endian.</summary>
    private long TakeLong()
    {
        var count = Take(1)[0];
        if (count > sizeof(long))
        {
            throw Malformed($"has an integer of {count} bytes");
        }

        var bytes = Take(count);
        Span<byte> extended = stackalloc byte[sizeof(long)];
        extended.Fill(bytes is [.., >= 0x80] ? (byte)0xFF : (byte)0);
        bytes.CopyTo(extended);
        return BinaryPrimitives.ReadInt64LittleEndian(extended);
    }

    private string TakeString()
    {
        var count = BinaryPrimitives.ReadUInt32LittleEndian(Take(4));
        if (count > MaxStringByteCount)
        {
            throw Malformed($"has a string of {count} bytes");
        }

        return Decode(Take((int)count));
    }

    private string TakeLine()
    {
        var rest = _pickle.AsSpan(_position);
        var end = rest[..Math.Min(rest.Length, MaxGlobalByteCount)].IndexOf((byte)'\n');
        if (end < 0)
        {
            throw Malformed("names a global without an end");
        }

        return Decode(Take(end + 1)[..^1]);
    }

    private string Decode(ReadOnlySpan<byte> utf8)
    {
        try
        {
            var text = StrictUtf8.GetString(utf8);
            return text.Any(char.IsControl) ? throw Malformed("has a control character in a name") : text;
        }
        catch (DecoderFallbackException)
        {
            throw Malformed("has a string that is not UTF-8");
        }
    }

    private void RequireShallow(PickleValue value)
    {
        if (value.Depth > MaxDepth)
        {
            throw Malformed($"nests deeper than {MaxDepth}");
        }
    }

    private CheckpointException Malformed(string what) => _error($"has a data.pkl that {what} (byte {_position})");
}
