using System.Text;
using Distributed.Collectives;
using Distributed.Collectives.Launching;
using Distributed.Engine.Generation;
using Distributed.Engine.Model;
using Distributed.Worker.Options;
using Distributed.Worker.Output;

namespace Distributed.Worker.Running;

/// <summary>What rank 0 works with once the model stands ready.</summary>
internal sealed class LeaderSession
{
    // The other ranks wait 60 s for a command.
    private static readonly TimeSpan KeepAliveInterval = TimeSpan.FromSeconds(15);

    public required LlamaGenerator Generator { get; init; }

    public required ProcessGroup Group { get; init; }

    public required LlamaModel Model { get; init; }

    public required LeaderLoop Leader { get; init; }

    public required Preparation Preparation { get; init; }

    public required RunOptions Options { get; init; }

    public required LauncherLink Link { get; init; }

    public required TimeSpan LoadTime { get; init; }

    public required int ThreadCount { get; init; }

    public Stream StandardOutput { get; } = Console.OpenStandardOutput();

    /// <summary>Waits for the user, telling the other ranks meanwhile that the leader is alive.</summary>
    public T WaitFor<T>(Func<T> read)
    {
        // A thread of its own: a read from a terminal has no end that a pool thread should wait for.
        var reading = Task.Factory.StartNew(read, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        while (Task.WaitAny([reading], KeepAliveInterval) < 0)
        {
            Leader.KeepAlive();
        }

        return reading.GetAwaiter().GetResult();
    }

    /// <summary>Generates all rows, in consecutive batches where there are more than fit one, and prints them as --format says.</summary>
    /// <param name="inputs">One a row.</param>
    /// <param name="frames">[row], what text output prints around each.</param>
    /// <param name="generate">Generates one batch.</param>
    public void Run<T>(
        IReadOnlyList<T> inputs,
        IReadOnlyList<RowFrame> frames,
        Func<IReadOnlyList<T>, GenerationOptions, Action<RowUpdate>?, GenerationResult[]> generate)
        where T : RowInput
    {
        using var writer = TextWriter();
        var text = Options.Format == OutputFormat.Text ? new TextOutput(writer, frames) : null;
        text?.Begin();
        var rows = new List<(RowInput Input, GenerationResult Result)>();
        foreach (var batch in inputs.Chunk(Model.Options.WholeRowCount))
        {
            var first = rows.Count;
            var results = generate(
                batch,
                Options.Generation with { FirstRow = first },
                text is null ? null : update => text.OnUpdate(first + update.Row, update));
            rows.AddRange(batch.Zip<RowInput, GenerationResult>(results));
        }

        var figures = PrintFigures();
        if (text is null)
        {
            ResultsDocument.Write(StandardOutput, rows, figures);
        }
    }

    /// <summary>Prints the closing line of figures on stderr.</summary>
    public RunFigures PrintFigures()
    {
        var figures = new RunFigures(
            LoadTime, Generator.Statistics, ThreadCount, [.. Leader.CollectStatistics().Select(rank => rank.PeakResidentByteCount)]);
        Console.Error.WriteLine(figures);
        return figures;
    }

    /// <summary>A writer of UTF-8 text to standard output; what it holds back it writes when flushed.</summary>
    public StreamWriter TextWriter() => new(StandardOutput, new UTF8Encoding(encoderShouldEmitUTF8Identifier: false), leaveOpen: true);
}
