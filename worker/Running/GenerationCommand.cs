using Distributed.Worker.Options;

namespace Distributed.Worker.Running;

/// <summary>A command that runs the model on all ranks: <c>complete</c>, <c>chat</c> or <c>serve</c>.</summary>
internal abstract class GenerationCommand(RunOptions options) : IDisposable
{
    public RunOptions Options => options;

    /// <summary>Reads what the options name beside the model: prompts or dialogs. Never standard input.</summary>
    /// <param name="preparation"><see langword="null"/> where it failed: then only what needs no tokenizer is checked.</param>
    /// <param name="problems">A sentence is added for each mistake.</param>
    public abstract void ReadInputs(Preparation? preparation, List<string> problems);

    /// <summary>Rank 0 begins to load the model.</summary>
    public virtual void BeginLoading()
    {
    }

    /// <summary>Tells how far rank 0 has loaded.</summary>
    /// <param name="phase">What it is doing.</param>
    /// <param name="done">Of <paramref name="total"/>, in any unit.</param>
    /// <param name="total">0 where that is not known.</param>
    public virtual void TellLoading(string phase, long done, long total)
    {
    }

    /// <summary>Does the work of rank 0.</summary>
    public abstract void Lead(LeaderSession session);

    /// <summary>Whether rank 0 goes on when other ranks are lost and the launcher starts them again.</summary>
    public virtual bool OutlivesGroup => false;

    /// <summary>Cancelled where rank 0 should wait for no other ranks any more.</summary>
    public virtual CancellationToken Stopping => CancellationToken.None;

    /// <summary>Rank 0 has lost the others.</summary>
    /// <param name="goesOn">Whether there may be others.</param>
    public virtual void TellLost(bool goesOn)
    {
    }

    /// <summary>Another rank begins to follow.</summary>
    /// <param name="rank">Its number.</param>
    public virtual void BeginFollowing(int rank)
    {
    }

    public virtual void Dispose()
    {
    }

    /// <summary>Reads and checks all that the line says and names: everything but standard input and the weights.</summary>
    /// <param name="line">The command line.</param>
    /// <param name="worldSize">The number of ranks that will load the checkpoint.</param>
    /// <param name="withInputs">Whether prompts or dialogs are read too, which only rank 0 needs.</param>
    /// <returns>The command, and what it works with; the caller disposes both.</returns>
    /// <exception cref="BadInputException">Something is wrong, with a sentence for each mistake.</exception>
    public static (GenerationCommand Command, Preparation Preparation) Prepare(CommandLine line, int worldSize, bool withInputs = true)
    {
        if (line.Command is not { } name)
        {
            throw new BadInputException(line.Problems);
        }

        var options = RunOptions.Read(name, line.Values, line.Problems);
        GenerationCommand command = name switch
        {
            OptionCatalog.Chat => new ChatCommand(options, line.Values),
            OptionCatalog.Serve => new ServeCommand(options, line.Values),
            _ => new CompleteCommand(options, line.Values),
        };
        var preparation = Preparation.TryOpen(options, worldSize, line.Problems);
        if (withInputs)
        {
            command.ReadInputs(preparation, line.Problems);
        }

        if (line.Problems.Count == 0)
        {
            return (command, preparation!); // null only with a problem
        }

        preparation?.Dispose();
        command.Dispose();
        throw new BadInputException(line.Problems);
    }
}
