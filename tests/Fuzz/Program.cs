using System.Collections.Concurrent;
using System.Globalization;
using Distributed.Fuzz;

// fuzz TARGET,...|all FIRST COUNT [--refusals]: runs inputs FIRST to FIRST + COUNT - 1 on all cores. fuzz TARGET NUMBER FILE: writes one input to a file.
const long StretchLength = 5000;
string[] configs = ["llama3", "llama2-linear", "mistral", "qwen2", "qwen3"];
Dictionary<string, Func<FuzzTarget>> targets = new Func<FuzzTarget>[]
{
    () => new PthTarget(),
    () => new SafetensorsTarget(),
    () => new ConfigTarget("params", "params.json",
    [
        """{"dim": 4096, "n_layers": 32, "n_heads": 32, "n_kv_heads": 8, "vocab_size": 128256, "multiple_of": 1024, "ffn_dim_multiplier": 1.3, "norm_eps": 1e-05, "rope_theta": 500000.0, "use_scaled_rope": true}""",
        """{"dim": 64, "multiple_of": 16, "n_heads": 4, "n_layers": 2, "norm_eps": 1e-06, "vocab_size": -1}""",
    ]),
    () => new ConfigTarget("config", "config.json", [.. configs.Select(name => File.ReadAllText(
        Path.Combine(Distributed.Tests.Repository.Root, "tests", "Engine.Tests", "References", name, "config.json"))), QuantizedTarget.Config]),
    () => new QuantizedTarget(),
    () => new IndexTarget(),
    () => new SentencePieceTarget(),
    () => new TokenizerJsonTarget(),
    () => new TokenizerConfigTarget(),
    () => new RequestTarget(),
    () => new SchemaTarget(),
}.ToDictionary(make => make().Name, StringComparer.Ordinal);
var countsRefusals = args.Length == 4 && args[3] == "--refusals";
var chosen = args.Length == 3 || countsRefusals ? targets.Where(target => args[0] == "all" || args[0].Split(',').Contains(target.Key)).ToArray() : [];
if (chosen.Length == 0 || !long.TryParse(args[1], NumberStyles.None, CultureInfo.InvariantCulture, out var first))
{
    Console.Error.WriteLine($"Usage: fuzz TARGET,...|all FIRST COUNT [--refusals], or fuzz TARGET NUMBER FILE; TARGET one of {string.Join(", ", targets.Keys)}.");
    return 2;
}

if (!long.TryParse(args[2], NumberStyles.None, CultureInfo.InvariantCulture, out var count))
{
    File.WriteAllBytes(args[2], FuzzRun.Bytes(chosen[0].Value(), first));
    return 0;
}

// Files, where a target maps them, live for microseconds: in memory, where the system has a folder there.
var place = Directory.Exists("/dev/shm") ? "/dev/shm" : Path.GetTempPath();
var folder = Directory.CreateDirectory(Path.Combine(place, $"fuzz-{Guid.NewGuid():N}")).FullName;
try
{
    var tallies = chosen.ToDictionary(target => target.Key, target => new FuzzTally(target.Key, countsRefusals), StringComparer.Ordinal);
    var stretches = new ConcurrentQueue<(string Name, long First, long Count)>(chosen.SelectMany(target => Stretches().Select(part => (target.Key, part.First, part.Count))));
    var done = chosen.ToDictionary(target => target.Key, _ => 0L, StringComparer.Ordinal);
    var isStopping = false;
    Console.CancelKeyPress += (_, stop) => stop.Cancel = isStopping = true; // what has been done is said
    var threads = Enumerable.Range(0, Environment.ProcessorCount).Select(thread => new Thread(() => Work(thread))).ToArray();
    Array.ForEach(threads, thread => thread.Start());
    Array.ForEach(threads, thread => thread.Join());
    foreach (var (name, inputs) in done.Where(entry => entry.Value > 0 && entry.Value < count))
    {
        tallies[name].Print(first, inputs); // stretches are taken in order: it has done the first ones
    }

    return tallies.Values.All(tally => tally.Held) ? 0 : 1;

    IEnumerable<(long First, long Count)> Stretches()
    {
        for (var start = 0L; start < count; start += StretchLength)
        {
            yield return (first + start, Math.Min(StretchLength, count - start));
        }
    }

    // A thread has targets and files of its own: what an input does depends on nothing but its number.
    void Work(int thread)
    {
        var runs = new Dictionary<string, FuzzRun>(StringComparer.Ordinal);
        while (!Volatile.Read(ref isStopping) && stretches.TryDequeue(out var part))
        {
            if (!runs.TryGetValue(part.Name, out var run))
            {
                var own = Directory.CreateDirectory(Path.Combine(folder, $"{part.Name}-{thread}")).FullName;
                var target = targets[part.Name]();
                target.Prepare(own);
                runs.Add(part.Name, run = new FuzzRun(target, own, tallies[part.Name]));
            }

            run.Run(part.First, part.Count);
            lock (done)
            {
                if ((done[part.Name] += part.Count) == count)
                {
                    tallies[part.Name].Print(first, count);
                }
            }
        }
    }
}
finally
{
    Directory.Delete(folder, recursive: true);
}
