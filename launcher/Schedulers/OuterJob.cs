using System.Globalization;

namespace Distributed.Launcher.Schedulers;

/// <summary>
/// What another launcher (srun, mpirun, Kubernetes) that has started several distruns says about them. For distrun each of them is a node.
/// </summary>
internal sealed record OuterJob
{
    /// <summary>What it is called in a sentence.</summary>
    public required string Launcher { get; init; }

    /// <summary>Where this distrun stands among those of the job.</summary>
    public required int NodeRank { get; init; }

    /// <summary>How many distruns the job has; <see langword="null"/> where only the user knows.</summary>
    public int? NodeCount { get; init; }

    /// <summary>How many of them are on this host.</summary>
    public int LocalCount { get; init; } = 1;

    /// <summary>Where the one with rank 0 is; <see langword="null"/> where that is not known.</summary>
    public string? FirstHost { get; init; }

    /// <summary>A port there that this job may have for itself.</summary>
    public int Port { get; init; } = DefaultPort;

    /// <summary>The name of the run.</summary>
    public string? RunId { get; init; }

    /// <summary>How the user starts one distrun on each host.</summary>
    public required string OneAHost { get; init; }

    private const int DefaultPort = 29_500; // torchrun's, and Kubeflow's
    private const int FirstDerivedPort = 10_000;
    private const int DerivedPortCount = 10_000; // below the ports from which those of one node's jobs are taken

    /// <summary>Finds the job that this process is part of; <see langword="null"/> where it is none, or the only process of one.</summary>
    /// <param name="environment">Looks up an environment variable.</param>
    /// <param name="hostsFile">The lines of /etc/hosts, where Kubernetes tells a pod its own full name.</param>
    /// <exception cref="FormatException">A variable holds what it never holds; the message is a sentence.</exception>
    public static OuterJob? Find(Func<string, string?> environment, Func<IEnumerable<string>> hostsFile)
    {
        var variables = new Variables(environment);

        // The innermost first: mpirun starts its daemons by srun where there is Slurm, and srun may speak PMI.
        return MpiJob.OfOpenMpi(variables) ?? SlurmStep.Of(variables) ?? MpiJob.OfPmi(variables) ?? KubernetesJob.OfLeaderWorkerSet(variables)
            ?? KubernetesJob.OfIndexedJob(variables, hostsFile);
    }

    /// <summary>A port that follows from the number of a job, so that every node finds the same one and two jobs on a host seldom do.</summary>
    public static int PortOf(uint jobNumber) => FirstDerivedPort + (int)(jobNumber % DerivedPortCount);

    /// <summary>Reads variables that a launcher has set: numbers are numbers, or the environment is not that launcher's.</summary>
    internal sealed class Variables(Func<string, string?> environment)
    {
        /// <summary>A variable, or <see langword="null"/> where it is unset or empty.</summary>
        public string? Text(string name) => environment(name) is { Length: > 0 } value ? value : null;

        /// <summary>A number from <paramref name="minimum"/>, or <see langword="null"/> where it is unset.</summary>
        public int? Number(string name, int minimum)
        {
            if (Text(name) is not { } text)
            {
                return null;
            }

            return int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var number) && number >= minimum
                ? number
                : throw new FormatException($"{name}={text} is not a number from {minimum}; unset it, or add --standalone to run on this node alone.");
        }
    }
}
