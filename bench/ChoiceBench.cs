using System.Diagnostics;
using System.Globalization;
using System.Text;
using System.Text.Json;
using Distributed.Engine.Constraints;
using Distributed.Engine.Diagnosis;
using Distributed.Engine.Generation;
using Distributed.Engine.Kernels;
using Distributed.Engine.Model;
using Distributed.Engine.Sampling;
using Distributed.Engine.Tokenizers;

namespace Distributed.Bench;

/// <summary>
/// What rank 0 does between two steps for one row, with as many tokens as Llama 3 has: a draw that is not decided among the candidates, with and without sorting, and
/// the mask of a constraint. Beside them the time in which the weights of a model of 1.24 G parameters in 16 bits are read, which a step takes at least.
/// </summary>
internal static unsafe class ChoiceBench
{
    private const int VocabularySize = 128_256;
    private const double WeightByteCount = 2.47e9;

    public static int Run(string[] args)
    {
        var options = new BenchOptions(args, "rounds");
        var rounds = options.Number("rounds", 20);
        using var pool = new ComputePool(Environment.ProcessorCount, "probe");
        var step = WeightByteCount / (ReadSpeed(pool) * 1e9) * 1e3;
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"a step of one row of 1.24 G parameters in 16 bits: at least {step:0.0} ms"));
        foreach (var scale in new[] { 0.1, 1, 3 })
        {
            var random = new Random(1);
            var row = Enumerable.Range(0, VocabularySize).Select(_ => (float)(Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble()) * scale)).ToArray();
            foreach (var topP in new[] { 0.5f, 0.95f, 0.9999f, 1f })
            {
                Draw(row, scale, topP, rounds, step);
            }
        }

        Masks(rounds, step);
        return 0;
    }

    private static double ReadSpeed(ComputePool pool)
    {
        using var memory = new BenchMemory(512L << 20);
        new Span<byte>(memory.Data, (int)memory.ByteCount).Fill(1);
        return Enumerable.Range(0, 5).Max(_ => ReadBandwidthProbe.Measure(pool, memory.Data, memory.ByteCount));
    }

    private static void Draw(float[] row, double scale, float topP, int rounds, double step)
    {
        var sampling = new SamplingOptions { Temperature = 1, TopP = topP, Seed = 1, Row = 0 };
        var choice = new TokenChoice(leader: null, KernelSet.Best);
        var (nucleus, order) = (new Nucleus(), new DescendingOrder());
        LogitsGroup group;
        fixed (float* logits = row)
        {
            group = KernelSet.Best.Summarize(logits, row.Length, 1);
        }

        var found = Time(rounds, position => choice.Choose(0, Result(row, group), sampling, position));
        var walked = Time(Math.Min(rounds, 5), position =>
        {
            nucleus.Begin(1, group.Maximum, group.ScaledSum, topP);
            order.Begin(row);
            var more = true;
            for (var next = order.Next(); more && !next.IsEmpty; next = order.Next())
            {
                foreach (var tokenId in next)
                {
                    more = more && nucleus.TryAdd(tokenId, row[tokenId]);
                }
            }

            nucleus.Draw(new RowRandom(1, 0).At(position));
        });
        Console.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"logits of deviation {scale}, top-p {topP}: {found:0.000} ms ({found / step:0.0%} of a step); sorted {walked:0.000} ms ({walked / step:0.0%})"));
    }

    private static LogitsResult Result(float[] row, LogitsGroup group) => new()
    {
        BestTokenId = 0,
        BestLogit = row[0],
        LogSumExp = 0,
        TargetLogit = 0,
        ScaledMaximum = group.Maximum,
        ScaledSum = group.ScaledSum,
        Candidates = [],
        Row = row,
    };

    private static void Masks(int rounds, double step)
    {
        var random = new Random(7);
        const string Letters = " etaoinshrdlucmfwypvbgkjqxz.,\"}]:{[0123456789\n";
        var words = Enumerable.Range(0, 200_000).Select(_ => new string([.. Enumerable.Range(0, 2 + random.Next(8)).Select(_ => Letters[random.Next(Letters.Length)])])).Distinct().Take(VocabularySize - 512);
        var tokenizer = TiktokenFile.Create("llama3", [.. Enumerable.Range(0, 256).Select(value => (byte[])[(byte)value]), .. words.Select(Encoding.UTF8.GetBytes)]);
        var compiler = new ConstraintCompiler(tokenizer);
        using var schema = JsonDocument.Parse("""
            {"type": "object", "properties": {"name": {"type": "string", "maxLength": 200}, "tags": {"type": "array", "items": {"type": "string"}}, "age": {"type": "integer"}}, "required": ["name", "tags", "age"]}
            """);
        var text = "{\"name\":\"" + new string('x', 60) + "\",\"tags\":[\"" + new string('y', 30) + "\",\"" + new string('z', 30) + "\"],\"age\":12345}";
        var adjusted = new AdjustedLogits(KernelSet.Best);
        var row = new float[VocabularySize];
        for (var round = 0; round < 3; round++)
        {
            var constraint = compiler.JsonSchema(schema.RootElement);
            var (masks, keeps, worst) = (0.0, 0.0, 0.0);
            foreach (var value in text)
            {
                var began = Stopwatch.GetTimestamp();
                constraint.AllowedTokens();
                var mask = Stopwatch.GetElapsedTime(began).TotalMilliseconds;
                adjusted.Begin(row);
                adjusted.Keep(constraint, [VocabularySize - 1]);
                adjusted.Summarize(0);
                var all = Stopwatch.GetElapsedTime(began).TotalMilliseconds;
                constraint.Accept(value);
                (masks, keeps, worst) = (masks + mask, keeps + all - mask, Math.Max(worst, mask));
            }

            Console.WriteLine(string.Create(
                CultureInfo.InvariantCulture,
                $"answer {round + 1} of {text.Length} tokens to one schema: masks {masks / text.Length:0.000} ms a token ({masks / text.Length / step:0.0%} of a step), the slowest {worst:0.0} ms; "
                + $"masking and summing the row {keeps / text.Length:0.000} ms ({keeps / text.Length / step:0.0%})"));
        }
    }

    // The median of some calls in milliseconds.
    private static double Time(int rounds, Action<int> run)
    {
        run(0);
        var times = new double[rounds];
        for (var round = 0; round < rounds; round++)
        {
            var began = Stopwatch.GetTimestamp();
            run(round);
            times[round] = Stopwatch.GetElapsedTime(began).TotalMilliseconds;
        }

        Array.Sort(times);
        return times[rounds / 2];
    }
}
