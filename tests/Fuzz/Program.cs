using System.Globalization;
using Distributed.Fuzz;

// fuzz TARGET|all FIRST COUNT: runs inputs FIRST to FIRST + COUNT - 1. fuzz TARGET NUMBER FILE: writes one input to a file.
string[] configs = ["llama3", "llama2-linear", "mistral", "qwen2", "qwen3"];
FuzzTarget[] targets =
[
    new PthTarget(),
    new SafetensorsTarget(),
    new ConfigTarget("params", "params.json",
    [
        """{"dim": 4096, "n_layers": 32, "n_heads": 32, "n_kv_heads": 8, "vocab_size": 128256, "multiple_of": 1024, "ffn_dim_multiplier": 1.3, "norm_eps": 1e-05, "rope_theta": 500000.0, "use_scaled_rope": true}""",
        """{"dim": 64, "multiple_of": 16, "n_heads": 4, "n_layers": 2, "norm_eps": 1e-06, "vocab_size": -1}""",
    ]),
    new ConfigTarget("config", "config.json", [.. configs.Select(name => File.ReadAllText(
        Path.Combine(Distributed.Tests.Repository.Root, "tests", "Engine.Tests", "References", name, "config.json"))), QuantizedTarget.Config]),
    new QuantizedTarget(),
    new SentencePieceTarget(),
    new TokenizerJsonTarget(),
    new RequestTarget(),
    new SchemaTarget(),
];
var chosen = args.Length == 3 ? targets.Where(target => args[0] == "all" || args[0] == target.Name).ToArray() : [];
if (chosen.Length == 0 || !long.TryParse(args[1], NumberStyles.None, CultureInfo.InvariantCulture, out var first))
{
    Console.Error.WriteLine($"Usage: fuzz TARGET|all FIRST COUNT, or fuzz TARGET NUMBER FILE; TARGET one of {string.Join(", ", targets.Select(target => target.Name))}.");
    return 2;
}

var folder = Directory.CreateTempSubdirectory("fuzz-").FullName;
try
{
    if (long.TryParse(args[2], NumberStyles.None, CultureInfo.InvariantCulture, out var count))
    {
        return Array.TrueForAll(Array.ConvertAll(chosen, target => new FuzzRun(target, folder).Run(first, count)), held => held) ? 0 : 1;
    }

    File.WriteAllBytes(args[2], new FuzzRun(chosen[0], folder).Bytes(first));
    return 0;
}
finally
{
    Directory.Delete(folder, recursive: true);
}
