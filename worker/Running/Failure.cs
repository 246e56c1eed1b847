using Distributed.Collectives;
using Distributed.Collectives.Launching;
using Distributed.Engine.Checkpoints;
using Distributed.Engine.Generation;
using Distributed.Engine.Model;
using Distributed.Engine.Tokenizers;

namespace Distributed.Worker.Running;

/// <summary>How a failed rank tells its user and its launcher.</summary>
internal static class Failure
{
    /// <summary>
    /// Prints the sentences on stderr, leaves an error file where the launcher has something to explain, and returns the exit code.
    /// </summary>
    /// <param name="exception">Why the rank ends.</param>
    /// <param name="errorFile">TORCHELASTIC_ERROR_FILE; <see langword="null"/> for nowhere.</param>
    public static int Report(Exception exception, string? errorFile)
    {
        var exitCode = ExitCode(exception);
        if (exitCode == ExitCodes.BadInput)
        {
            Console.Error.WriteLine(exception.Message);
            return exitCode;
        }

        var written = ErrorFile.Write(errorFile, exception);
        Console.Error.WriteLine((IsNamed(exception), written) switch
        {
            (true, _) => exception.Message,
            (false, true) => $"worker failed: {exception.GetType().Name}: {exception.Message} The stack is in {errorFile}.",
            _ => $"worker failed: {exception}",
        });
        return exitCode;
    }

    private static int ExitCode(Exception exception) => exception switch
    {
        BadInputException or CheckpointException or TokenizerFormatException or BackendException => ExitCodes.BadInput,
        GenerationException or RankEnvironmentException => ExitCodes.BadInput,
        CollectiveException or RendezvousException => ExitCodes.GroupFailed,
        _ => ExitCodes.Failure,
    };

    // The message of these says all; others are faults of the program, for which the stack matters.
    private static bool IsNamed(Exception exception) => exception is CollectiveException or RendezvousException or NonFiniteLogitsException;
}
