using Distributed.Engine.Checkpoints;

namespace Distributed.Engine.Tests.Checkpoints;

/// <summary>Pickles that torch writes are read; hostile ones are refused with what they asked for, and nothing happens.</summary>
public sealed class PickleMachineTests : IDisposable
{
    /// <summary>What published attacks and bypasses of pickle scanners call.</summary>
    private static readonly string[] Globals =
    [
        "posix system", "nt system", "os system", "os popen", "os execve", "builtins eval", "builtins exec", "builtins getattr",
        "builtins open", "builtins compile", "builtins __import__", "__builtin__ eval", "__builtin__ apply", "subprocess Popen",
        "subprocess check_output", "commands getoutput", "pty spawn", "socket create_connection", "runpy _run_code",
        "importlib import_module", "importlib.machinery SourceFileLoader", "webbrowser open", "code InteractiveInterpreter.runcode",
        "codecs decode", "_codecs encode", "operator attrgetter", "operator methodcaller", "functools partial", "functools reduce",
        "types FunctionType", "types CodeType", "timeit timeit", "cProfile run", "pdb run", "bdb Bdb.run", "pip main", "ctypes CDLL",
        "pickle loads", "_pickle loads", "marshal loads", "shutil rmtree", "asyncio.unix_events _UnixSubprocessTransport._start",
        "numpy.core.multiarray _reconstruct", "numpy.testing._private.utils runstring", "torch load", "torch.hub load",
        "torch.jit load", "torch.serialization load", "torch.storage _load_from_bytes", "torch.storage UntypedStorage",
        "torch._utils _rebuild_qtensor", "torch._utils _rebuild_sparse_tensor", "torch._utils _rebuild_wrapper_subclass",
        "torch._utils _rebuild_tensor_v3", "torch.nn.modules.linear Linear", "torch FloatTensor", "torch.FloatStorage x",
        "torch Floatstorage", "collections OrderedDict.fromkeys", "collections defaultdict", "System.Diagnostics Process",
        "collections\u00A0 OrderedDict", "сollections OrderedDict",
    ];

    /// <summary>Every opcode of Python's pickletools that the machine does not carry out.</summary>
    private static readonly byte[] RefusedOpcodes =
    [
        .. "012FILSTUVBCdlgpPio"u8, 0x81, 0x82, 0x83, 0x84, 0x8B, 0x8C, 0x8D, 0x8E, 0x8F, 0x90, 0x91, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97,
        0x98,
    ];

    private readonly ShardProbe _probe = new();

    public void Dispose() => _probe.Dispose();

    [Fact]
    public void Load_GlobalsOffTheList_AreRefusedByName()
    {
        foreach (var global in Globals)
        {
            var (module, name) = (global.Split(' ')[0], global.Split(' ')[1]);
            Func<PickleAssembler, PickleAssembler>[] calls =
            [
                pickle => pickle.Global(module, name).Raw('(').Text("id").Raw('t').Raw('R'),                   // name("id")
                pickle => pickle.Global(module, name).Raw(')').Raw('R').Raw('}').Raw('b'),                     // name().__setstate__({})
                pickle => pickle.Global("torch._utils", "_rebuild_tensor_v2").Raw('(').Global(module, name).Raw('t').Raw('R'),
                pickle => pickle.Raw('(').Text("storage").Global(module, name).Text("0").Text("cpu").Raw('K', 6).Raw('t').Raw('Q'),
                pickle => pickle.Raw('(').Repeat(30, inner => inner.Raw('}').Text("x")).Global(module, name),
            ];
            foreach (var call in calls)
            {
                Refused(PickleAssembler.Entry(call), $"names the global '{module}.{name}'");
            }
        }

        Assert.True(_probe.Count >= 300);
    }

    [Fact]
    public void Load_RefusedOpcodes_AreNamed()
    {
        foreach (var opcode in RefusedOpcodes)
        {
            // STACK_GLOBAL, INST, OBJ, EXT1 and their like, with whatever they would want to find.
            Refused(PickleAssembler.Whole(pickle => pickle.Text("posix").Text("system").Raw(opcode).Raw("posix\nsystem\n"u8)),
                "has the opcode ");
            Refused(PickleAssembler.Entry(pickle => pickle.Raw('(').Text("id").Raw(opcode).Raw(8, 0, 0, 0)), "has the opcode ");
        }
    }

    [Fact]
    public void Load_BytesThatAreNoOpcode_AreRefused()
    {
        for (var value = 0; value < 256; value++)
        {
            if (!Enum.IsDefined((PickleOpcode)value) && !RefusedOpcodes.Contains((byte)value))
            {
                Refused(PickleAssembler.Whole(pickle => pickle.Raw((byte)value)), $"has the opcode 0x{value:X2}");
            }
        }
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(3)]
    [InlineData(4)]
    [InlineData(5)]
    [InlineData(255)]
    public void Load_OtherProtocols_AreNamed(byte protocol)
        => Refused([0x80, protocol, .. PickleAssembler.OneTensor()[2..]], $"has a pickle of protocol {protocol}");

    [Fact]
    public void Load_NoProtocolOrTwo_IsRefused()
    {
        Refused(PickleAssembler.OneTensor()[2..], "does not begin with a pickle protocol");
        Refused([], "does not begin with a pickle protocol");
        Refused(PickleAssembler.Whole(pickle => pickle.Raw(0x80, 2)), "has the opcode 0x80");
    }

    /// <summary>
    /// "nullifAI": a scanner that stops at the broken tail says nothing about what ran before it. Here nothing runs at all.
    /// </summary>
    [Fact]
    public void Load_CutAnywhereOrContinued_IsRefused()
    {
        var intact = PickleAssembler.OneTensor();
        for (var length = 0; length < intact.Length; length++)
        {
            Refused(intact[..length], "data.pkl that");
        }

        Refused([.. intact, (byte)'.'], "ends with values or bytes left over");
        Refused([.. intact, .. intact], "ends with values or bytes left over");
    }

    [Fact]
    public void Load_ValuesOrMarksLeftOver_AreRefused()
    {
        Refused(PickleAssembler.Whole(pickle => pickle.Raw('}').Raw('K', 1)), "left over");
        Refused(PickleAssembler.Whole(pickle => pickle.Raw('}').Raw('(')), "left over");
        Refused(PickleAssembler.Whole(pickle => pickle), "left over");
    }

    [Fact]
    public void Load_Bombs_AreBounded()
    {
        Refused(PickleAssembler.Whole(pickle => pickle.Repeat(20_000, part => part.Raw('}'))), "holds more than 10000 values at once");
        Refused(PickleAssembler.Whole(pickle => pickle.Repeat(65, part => part.Raw('('))), "nests deeper than 64");
        Refused(PickleAssembler.Whole(pickle => pickle.Raw(')').Repeat(500_000, part => part.Raw(0x85))), "nests deeper than 64");
        Refused(PickleAssembler.Whole(pickle => pickle.Raw(']').Raw('q', 0).Repeat(100, part => part.Raw('h', 0).Raw('a'))),
            "nests deeper than 64");
        Refused(PickleAssembler.Whole(pickle => pickle.Raw(']').Repeat(600_000, part => part.Raw(']').Raw('a'))),
            "more than 1000000 opcodes");
        Refused(PickleAssembler.Whole(pickle => pickle.Raw('}').Repeat(150, part => part.Raw('}')).Repeat(150, part => part.Raw('}')
            .Raw('s'))), "a dict key that is a dict");
        Refused(PickleAssembler.Whole(pickle => pickle.Raw('}').Raw('r', 0, 0, 0, 0x80)), "numbers a memo entry 2147483648 after 0");
        Refused(PickleAssembler.Whole(pickle => pickle.Raw('}').Raw('q', 1)), "numbers a memo entry 1 after 0");
        Refused(PickleAssembler.Whole(pickle => pickle.Raw('j', 0xFF, 0xFF, 0xFF, 0xFF)), "recalls a memo entry 4294967295 of 0");
        Refused(PickleAssembler.Entry(pickle => pickle.Repeat(200_000, part => part.Text("0123456789").Raw(0x85))),
            "holds more than 10000 values");
        Refused(Doubling(), "nests deeper than 64");
        Refused(new byte[(16 << 20) + 1], "no member 'data.pkl' of at most 16777216 bytes");

        // x = (x, x), forty times: 2^40 leaves for whoever walks them, which nobody does.
        static byte[] Doubling() => PickleAssembler.Whole(
            pickle => pickle.Raw(')').Raw('q', 0).Repeat(100, part => part.Raw('h', 0).Raw('h', 0).Raw(0x86).Raw('q', 0)));
    }

    [Fact]
    public void Load_LengthsOfStrings_AreNotBelieved()
    {
        foreach (var length in new[] { 2, 3, 65_536, 65_537, int.MaxValue, 1L << 31, uint.MaxValue })
        {
            var (_, refusal) = Read(PickleAssembler.Whole(pickle => pickle.Text("w", length)));
            Assert.Contains(length > 65_536 ? $"has a string of {length} bytes" : "ends in the middle", refusal, StringComparison.Ordinal);
        }

        foreach (byte length in new byte[] { 9, 16, 127, 255 })
        {
            Refused(PickleAssembler.Whole(pickle => pickle.Raw(0x8A, length).Raw(new byte[length])), $"has an integer of {length} bytes");
        }

        Refused(PickleAssembler.Whole(pickle => pickle.Raw('c').Raw(new byte[600])), "names a global without an end");
        Refused(PickleAssembler.Whole(pickle => pickle.Raw('X', 2, 0, 0, 0, 0xC3, 0x28)), "has a string that is not UTF-8");
        Refused(PickleAssembler.Whole(pickle => pickle.Text("a\u001B[2Jb")), "has a control character");
    }

    [Fact]
    public void Load_MalformedPrograms_AreRefused()
    {
        (string Expected, Func<PickleAssembler, PickleAssembler> Build)[] programs =
        [
            ("takes more values than it has", pickle => pickle.Raw('s')),
            ("takes more values than it has", pickle => pickle.Raw('K', 1).Raw('(').Raw(0x85)),
            ("has no mark where it needs one", pickle => pickle.Raw('}').Raw('u')),
            ("has no mark where it needs one", pickle => pickle.Raw('t')),
            ("fills something that is no dict", pickle => pickle.Raw(']').Text("a").Raw('K', 1).Raw('s')),
            ("fills something that is no dict", pickle => pickle.Raw('(').Text("a").Raw('K', 1).Raw('s')),
            ("fills something that is no list", pickle => pickle.Raw('}').Raw('K', 1).Raw('a')),
            ("fills something that is no value", pickle => pickle.Raw('q', 0)),
            ("has a key without a value", pickle => pickle.Raw('}').Raw('(').Text("a").Raw('u')),
            ("a dict key that is a int", pickle => pickle.Raw('}').Raw('K', 1).Raw('K', 1).Raw('s')),
            ("calls something that is no function", pickle => pickle.Text("x").Raw(')').Raw('R')),
            ("calls something that is no function", pickle => pickle.Global("torch", "FloatStorage").Raw(')').Raw('R')),
            ("calls something that is no function", pickle => pickle.Global("collections", "OrderedDict").Raw(']').Raw('R')),
            ("calls OrderedDict with other arguments", pickle => pickle.Global("collections", "OrderedDict").Raw('K', 1).Raw(0x85)
                .Raw('R')),
            ("calls RebuildTensorV2 with other arguments", pickle => pickle.Global("torch._utils", "_rebuild_tensor_v2").Raw(')').Raw('R')),
            ("calls RebuildParameter with other arguments", pickle => pickle.Global("torch._utils", "_rebuild_parameter").Raw(')')
                .Raw('R')),
            ("sets attributes of something that is no OrderedDict", pickle => pickle.Raw('}').Raw('}').Raw('b')),
            ("sets attributes of something that is no OrderedDict", pickle => pickle.Global("collections", "OrderedDict").Raw(')')
                .Raw('R').Text("x").Raw('b')),
            ("sets attributes of something that is no OrderedDict", pickle => pickle.Tensor(6, 0, [6], [1]).Raw('}').Raw('b')),
            ("a persistent id that is not that of a storage", pickle => pickle.Text("0").Raw('Q')),
            ("a persistent id that is not that of a storage", pickle => pickle.Raw('(').Text("module").Global("torch", "FloatStorage")
                .Text("0").Text("cpu").Raw('K', 6).Raw('t').Raw('Q')),
            ("a persistent id that is not that of a storage", pickle => pickle.Raw('(').Text("storage").Text("FloatStorage").Text("0")
                .Text("cpu").Raw('K', 6).Raw('t').Raw('Q')),
            ("holds something other than a dict of tensors", pickle => pickle.Raw(']')),
            ("holds something other than a dict of tensors", pickle => pickle.Tensor(6, 0, [6], [1])),
        ];
        foreach (var (expected, build) in programs)
        {
            Refused(PickleAssembler.Whole(build), expected);
        }
    }

    [Fact]
    public void Load_EntriesThatAreNoTensors_AreNamed()
    {
        (string Kind, Func<PickleAssembler, PickleAssembler> Build)[] values =
        [
            ("None", pickle => pickle.Raw('N')), ("bool", pickle => pickle.Raw(0x88)), ("int", pickle => pickle.Raw('J', 1, 0, 0, 0)),
            ("float", pickle => pickle.Raw('G', 0, 0, 0, 0, 0, 0, 0, 0)), ("str", pickle => pickle.Text("x")),
            ("tuple", pickle => pickle.Raw(')')),
            ("list", pickle => pickle.Raw(']').Raw('(').Raw('K', 1).Raw('M', 1, 2).Raw('e')), ("dict", pickle => pickle.Raw('}')),
            ("storage", pickle => pickle.Storage(6)),
            ("OrderedDict", pickle => pickle.Global("collections", "OrderedDict").Raw(')').Raw('R')),
        ];
        foreach (var (kind, build) in values)
        {
            Refused(PickleAssembler.Entry(build), $"holds 'w', which is a {kind} and no tensor; save only the state dict");
        }
    }

    [Fact]
    public void Load_NamesOfTensors_AreUniqueAndShort()
    {
        Refused(PickleAssembler.Whole(pickle => pickle.Raw('}').Raw('(')
            .Repeat(2, part => part.Text("w").Tensor(6, 0, [6], [1])).Raw('u')), "names tensor 'w' twice");
        Refused(PickleAssembler.Whole(pickle => pickle.Raw('}').Text(new string('w', 257)).Tensor(6, 0, [6], [1]).Raw('s')),
            "whose name has 257 characters");
        Refused(PickleAssembler.Whole(pickle => pickle.Raw('}').Text("").Tensor(6, 0, [6], [1]).Raw('s')), "whose name has 0 characters");
    }

    private (SortedDictionary<string, string>? Tensors, string? Refusal) Read(byte[] pickle)
        => _probe.Read(ContainerBuilder.OneTensor(pickle).Build());

    private void Refused(byte[] pickle, string expected) => _probe.Refused(ContainerBuilder.OneTensor(pickle).Build(), expected);
}
