using System.Diagnostics;
using System.Text.Json;
using Distributed.Engine.Checkpoints;

namespace Distributed.Engine.Tests.Checkpoints;

/// <summary>
/// Files that PyTorch itself writes are read, or refused for the right reason, and PyTorch reads ours. Needs a python3 with torch.
/// </summary>
public sealed class TorchInteropTests(TorchInteropTests.Files files) : IClassFixture<TorchInteropTests.Files>
{
    private const string Script = """
        import collections, json, os, sys, torch
        folder = sys.argv[1]
        def path(name): return os.path.join(folder, name + '.pth')

        loaded = {}
        for name, arguments in (('pickle', {}), ('weights_only', {'weights_only': True}), ('mmap', {'mmap': True})):
            try:
                tensors = torch.load(path('ours'), map_location='cpu', **arguments)
            except TypeError:
                continue    # an older torch without the argument
            def bits(value): return bytes(value.contiguous().view(torch.uint8).flatten().tolist()).hex()
            loaded[name] = {key: [str(value.dtype), list(value.shape), bits(value)] for key, value in tensors.items()}
        print(json.dumps(loaded))

        torch.manual_seed(1)
        w = torch.arange(6, dtype=torch.float32).reshape(2, 3)
        torch.save({'w': w, 'b': w.to(torch.bfloat16), 'h': w.to(torch.float16)}, path('plain'))
        torch.save(torch.nn.Linear(3, 2).state_dict(), path('module'))
        torch.save({'w': torch.nn.Parameter(w)}, path('parameter'))
        block = torch.arange(100, dtype=torch.bfloat16)
        torch.save(collections.OrderedDict(first=block[10:16].view(2, 3), second=block[50:53], scalar=block[99]), path('shared'))
        torch.save({'w': w.t()}, path('transposed'))
        torch.save({'w': w.double()}, path('float64'))
        torch.save({'model': {'w': w}, 'step': 7, 'history': [0.5, 0.25]}, path('training'))
        torch.save({'w': w}, path('legacy'), _use_new_zipfile_serialization=False)
        torch.save({'w': w}, path('protocol4'), pickle_protocol=4)
        torch.jit.save(torch.jit.script(torch.nn.Linear(3, 2)), path('script'))
        class Evil:
            def __reduce__(self): return os.system, ('touch ' + os.path.join(folder, 'ran'),)
        torch.save({'w': w, 'evil': Evil()}, path('evil'))
        """;

    [TorchFact]
    public void TorchLoad_OurShard_GivesEveryBit()
    {
        var expected = new Dictionary<string, string>();
        foreach (var tensor in TinyCheckpoint.Tensors(0, 1, EmbeddingLayout.Whole, TensorType.BFloat16))
        {
            var bytes = new byte[tensor.ElementCount * 2];
            tensor.Fill(0, bytes);
            expected.Add(tensor.Name, $"torch.bfloat16 [{string.Join(", ", tensor.Shape)}] {Convert.ToHexStringLower(bytes)}");
        }

        foreach (var way in files.Loaded.EnumerateObject())
        {
            var actual = way.Value.EnumerateObject().ToDictionary(
                tensor => tensor.Name,
                tensor => $"{tensor.Value[0]} [{string.Join(", ", tensor.Value[1].EnumerateArray())}] {tensor.Value[2]}");
            Assert.Equal(expected, actual);
        }

        Assert.True(files.Loaded.TryGetProperty("pickle", out _));
    }

    [TorchTheory]
    [InlineData("plain", "w", "float32 [2, 3] 000000000000803F0000004000004040000080400000A040")]
    [InlineData("plain", "b", "bfloat16 [2, 3] 0000803F004040408040A040")]
    [InlineData("plain", "h", "float16 [2, 3] 0000003C0040004200440045")]
    [InlineData("parameter", "w", "float32 [2, 3] 000000000000803F0000004000004040000080400000A040")]
    [InlineData("shared", "first", "bfloat16 [2, 3] 204130414041504160417041")]
    [InlineData("shared", "second", "bfloat16 [3] 48424C425042")]
    [InlineData("shared", "scalar", "bfloat16 [] C642")]
    [InlineData("float64", "w", "float64 [2, 3] 0000000000000000000000000000F03F")]
    public void Read_WrittenByTorch_GivesEveryBit(string name, string tensor, string expected)
    {
        var (tensors, refusal) = files.Read(name);

        Assert.Null(refusal);
        Assert.StartsWith(expected, tensors![tensor], StringComparison.Ordinal);
    }

    [TorchFact]
    public void Read_StateDictOfAModule_GivesItsTensors()
        => Assert.Equal(["bias", "weight"], files.Read("module").Tensors!.Keys);

    [TorchTheory]
    [InlineData("transposed", "is not contiguous (shape [3, 2], strides [1, 3])")]
    [InlineData("training", "holds 'model', which is a dict and no tensor; save only the state dict of the model")]
    [InlineData("legacy", "the format that torch.save had before 1.6")]
    [InlineData("protocol4", "has a pickle of protocol 4")]
    [InlineData("script", "is a TorchScript archive")]
    [InlineData("evil", "names the global 'posix.system'")]
    public void Read_NotAShardButWrittenByTorch_SaysWhy(string name, string expected)
    {
        Assert.Contains(expected, files.Read(name).Refusal, StringComparison.Ordinal);
        Assert.False(File.Exists(files.PathOf("ran")));
    }

    /// <summary>Runs torch once for all of these tests.</summary>
    public sealed class Files : IDisposable
    {
        private readonly TemporaryFolder _folder = new();
        private readonly ShardProbe _probe = new();

        public Files()
        {
            if (TorchPython.Path is null)
            {
                return;
            }

            MetaShardWriter.Write(
                _folder["ours.pth"],
                [.. TinyCheckpoint.Tensors(0, 1, EmbeddingLayout.Whole, TensorType.BFloat16)],
                CancellationToken.None);
            Loaded = JsonDocument.Parse(TorchPython.Run(Script, _folder.Path)).RootElement;
        }

        public JsonElement Loaded { get; }

        public string PathOf(string file) => _folder[file];

        internal (SortedDictionary<string, string>? Tensors, string? Refusal) Read(string name)
            => _probe.Read(File.ReadAllBytes(_folder[name + ".pth"]));

        public void Dispose()
        {
            _folder.Dispose();
            _probe.Dispose();
        }
    }

    private static class TorchPython
    {
        /// <summary>A python that has torch; <see langword="null"/> where there is none.</summary>
        public static string? Path { get; } = new[] { "python3", "/usr/bin/python3" }.FirstOrDefault(HasTorch);

        public static string Run(string script, string argument)
            => Run(Path!, script, argument) ?? throw new InvalidOperationException("torch failed; see stderr.");

        private static bool HasTorch(string python)
        {
            try
            {
                return Run(python, "import importlib.util; print(importlib.util.find_spec('torch') is not None)", "")?.Trim() == "True";
            }
            catch (System.ComponentModel.Win32Exception)
            {
                return false;    // no such program
            }
        }

        private static string? Run(string python, string script, string argument)
        {
            using var process = Process.Start(new ProcessStartInfo(python, ["-c", script, argument]) { RedirectStandardOutput = true })!;
            var output = process.StandardOutput.ReadToEndAsync();
            if (!process.WaitForExit(TimeSpan.FromSeconds(120)))
            {
                process.Kill();
                return null;
            }

            return process.ExitCode == 0 ? output.Result : null;
        }
    }

    [AttributeUsage(AttributeTargets.Method)]
    private sealed class TorchFactAttribute : FactAttribute
    {
        public TorchFactAttribute() => Skip = TorchPython.Path is null ? "No python3 with torch (apt install python3-torch)." : null;
    }

    [AttributeUsage(AttributeTargets.Method)]
    private sealed class TorchTheoryAttribute : TheoryAttribute
    {
        public TorchTheoryAttribute() => Skip = TorchPython.Path is null ? "No python3 with torch (apt install python3-torch)." : null;
    }
}
