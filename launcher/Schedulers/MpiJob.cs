using System.Globalization;

namespace Distributed.Launcher.Schedulers;

/// <summary>The processes of an mpirun: Open MPI's, and those that speak PMI (MPICH and Intel MPI, whose launcher is Hydra).</summary>
/// <remarks>
/// Neither says on which host rank 0 is, unless it is this one or a scheduler's list of nodes is there too.
/// </remarks>
internal static class MpiJob
{
    private const string Localhost = "127.0.0.1";

    /// <summary>A process of Open MPI's mpirun or of prterun.</summary>
    public static OuterJob? OfOpenMpi(OuterJob.Variables variables)
    {
        // The namespace is "<number of the job>" or a name with it, the same on every node.
        var job = variables.Text("OMPI_MCA_ess_base_jobid") ?? variables.Text("PMIX_NAMESPACE");
        return Of(
            variables, "mpirun (Open MPI)", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE", job, "mpirun --map-by ppr:1:node");
    }

    /// <summary>A process of Hydra's mpiexec.</summary>
    public static OuterJob? OfPmi(OuterJob.Variables variables)
        => Of(variables, "mpiexec (PMI)", "PMI_RANK", "PMI_SIZE", "MPI_LOCALNRANKS", jobId: null, "mpiexec -ppn 1");

    private static OuterJob? Of(
        OuterJob.Variables variables, string launcher, string rankName, string sizeName, string localSizeName, string? jobId, string oneAHost)
    {
        if (variables.Number(rankName, 0) is not { } rank || variables.Number(sizeName, 1) is not (> 1 and var size))
        {
            return null;
        }

        var localSize = variables.Number(localSizeName, 1) ?? 1;
        var job = new OuterJob
        {
            Launcher = launcher,
            NodeRank = rank,
            NodeCount = size,
            LocalCount = localSize,
            FirstHost = localSize == size ? Localhost
                : variables.Text("SLURM_JOB_NODELIST") is { } nodes ? SlurmStep.FirstOf("SLURM_JOB_NODELIST", nodes)
                : null,
            OneAHost = oneAHost,
        };
        return jobId is null ? job : job with { Port = OuterJob.PortOf(Hash(jobId)), RunId = string.Create(CultureInfo.InvariantCulture, $"mpi-{Hash(jobId)}") };
    }

    // FNV-1a, 32 bits: string.GetHashCode differs from process to process.
    private static uint Hash(string text)
        => unchecked(text.Aggregate(2_166_136_261u, (hash, character) => (hash ^ character) * 16_777_619u));
}
