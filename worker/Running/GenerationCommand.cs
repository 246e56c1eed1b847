using Distributed.Worker.Options;

namespace Distributed.Worker.Running;

/// <summary><c>complete</c> or <c>chat</c>.</summary>
internal abstract class GenerationCommand(RunOptions options)
{
    public RunOptions Options => options;

    /// <summary>Reads what the options name beside the model: prompts or dialogs. Never standard input.</summary>
    /// <param name="preparation"><see langword="null"/> where it failed: then only what needs no tokenizer is checked.</param>
    /// <param name="problems">A sentence is added for each mistake.</param>
    public abstract void ReadInputs(Preparation? preparation, List<string> problems);

    /// <summary>Does the work of rank 0.</summary>
    public abstract void Lead(LeaderSession session);

    /// <summary>Reads and checks all that the line says and names: everything but standard input and the weights.</summary>
    /// <param name="line">The command line.</param>
    /// <param name="worldSize">The number of ranks that will load the checkpoint.</param>
    /// <param name="withInputs">Whether prompts or dialogs are read too, which only rank 0 needs.</param>
    /// <returns>The command, and what it works with, which the caller disposes.</returns>
    /// <exception cref="BadInputException">Something is wrong, with a sentence for each mistake.</exception>
    public static (GenerationCommand Command, Preparation Preparation) Prepare(CommandLine line, int worldSize, bool withInputs = true)
    {
        if (line.Command is not { } name)
        {
            throw new BadInputException(line.Problems);
        }

        var options = RunOptions.Read(name, line.Values, line.Problems);
        GenerationCommand command = name == OptionCatalog.Chat
            ? new ChatCommand(options, line.Values)
            : new CompleteCommand(options, line.Values);
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
        throw new BadInputException(line.Problems);
    }
}
