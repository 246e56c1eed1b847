using Distributed.Launcher.Schedulers;

namespace Distributed.Launcher.Tests.Schedulers;

/// <summary>Environments as the launchers set them, replayed: Slurm 22.05, Open MPI 4.1, MPICH 4.0, LeaderWorkerSet and JobSet.</summary>
public sealed class AdoptedOptionsTests
{
    private const string SlurmTask = """
        SLURM_JOB_ID=123456
        SLURM_JOB_NODELIST=node[1-2,10]
        SLURM_JOB_NUM_NODES=3
        SLURM_LAUNCH_NODE_IPADDR=10.9.9.9
        SLURM_LOCALID=0
        SLURM_NODEID=2
        SLURM_PROCID=2
        SLURM_STEP_ID=7
        SLURM_STEP_NODELIST=node[1-2,10]
        SLURM_STEP_NUM_NODES=3
        SLURM_STEP_NUM_TASKS=3
        SLURM_STEP_TASKS_PER_NODE=1(x3)
        """;

    private const string OpenMpiTask = """
        OMPI_COMM_WORLD_LOCAL_RANK=1
        OMPI_COMM_WORLD_LOCAL_SIZE=2
        OMPI_COMM_WORLD_RANK=1
        OMPI_COMM_WORLD_SIZE=2
        OMPI_MCA_ess_base_jobid=1346240513
        PMIX_NAMESPACE=1346240513
        PMIX_RANK=1
        """;

    private const string IndexedPod = """
        KUBERNETES_SERVICE_HOST=10.96.0.1
        JOB_COMPLETION_INDEX=2
        HOSTNAME=train-node-0-2
        """;

    private static readonly string[] PodHosts =
    [
        "# Kubernetes-managed hosts file.",
        "127.0.0.1\tlocalhost",
        "10.244.1.7\ttrain-node-0-2.train.default.svc.cluster.local\ttrain-node-0-2",
    ];

    [Fact]
    public void Slurm_StepOfThreeNodes_GivesNodesRankAndTheFirstOfTheList()
    {
        var adopted = Read(SlurmTask);
        Assert.Equal("NNODES=3 NODE_RANK=2 RDZV_ID=slurm-123456.7 MASTER_ADDR=node1 MASTER_PORT=13456", Values(adopted));
        Assert.Equal(
            "inside srun (Slurm job 123456): --nnodes 3 --node-rank 2 --rdzv-id slurm-123456.7 --master-addr node1 --master-port 13456 "
            + "(write --standalone to run on this node alone).",
            adopted.Note);
    }

    [Fact]
    public void Slurm_C10d_GetsAnEndpoint()
        => Assert.Equal("NNODES=3 NODE_RANK=2 RDZV_ID=slurm-123456.7 RDZV_ENDPOINT=node1:13456", Values(Read(SlurmTask, "PET_RDZV_BACKEND=c10d")));

    /// <summary>The recipe that everybody copies: all is given but the order of the nodes.</summary>
    [Fact]
    public void Slurm_WhatTheUserGave_Stays()
        => Assert.Equal(
            "NODE_RANK=2",
            Values(Read(SlurmTask, "PET_NNODES=3\nPET_RDZV_ID=x\nPET_RDZV_BACKEND=c10d\nPET_RDZV_ENDPOINT=10.1.1.1:29400")));

    [Theory]
    [InlineData("--standalone")]
    [InlineData("PET_STANDALONE=1")]
    [InlineData("PET_NNODES=1")]
    [InlineData("DISTRUN_RUNTIME_DIR=/run/user/0/distrun/x")] // a program of a distrun's own
    [InlineData("SLURM_STEP_NUM_TASKS=1")]
    [InlineData("SLURM_STEP_NODELIST=")] // a batch script, which runs on the first node alone
    public void Slurm_OneNodeIsMeant_NothingIsAdopted(string reason)
    {
        var adopted = Read(SlurmTask, reason);
        Assert.Equal("", Values(adopted));
        Assert.Null(adopted.Note);
    }

    [Theory]
    [InlineData("SLURM_STEP_NODELIST=node[1-", "SLURM_STEP_NODELIST=node[1- is no list of hosts: its brackets do not match; name the first node with --master-addr.")]
    [InlineData("SLURM_PROCID=x", "SLURM_PROCID=x is not a number from 0; unset it, or add --standalone to run on this node alone.")]
    public void Slurm_WhatItNeverSays_IsRefused(string variable, string sentence)
    {
        List<string> problems = [];
        Assert.Equal("", Values(Read($"{SlurmTask}\n{variable}", "", problems)));
        Assert.Equal([sentence], problems);
    }

    /// <summary>srun -n8 distrun --nproc-per-node 8.</summary>
    [Theory]
    [InlineData("SLURM_STEP_TASKS_PER_NODE=8(x3)", 8, "has started 8 distruns on this node, and each would start 8 ranks, 64 in all; start one a node (srun --ntasks-per-node=1), or leave --nproc-per-node out.")]
    [InlineData("SLURM_STEP_TASKS_PER_NODE=1(x2),4", 2, "has started 4 distruns on this node, and each would start 2 ranks, 8 in all; start one a node (srun --ntasks-per-node=1), or leave --nproc-per-node out.")]
    [InlineData("SLURM_STEP_TASKS_PER_NODE=4,1(x2)", 2, null)]
    [InlineData("SLURM_STEP_TASKS_PER_NODE=8(x3)", 1, null)]
    public void Slurm_StartsAsManyAsEachStarts_IsRefused(string tasks, int localWorldSize, string? sentence)
    {
        List<string> problems = [];
        Read($"{SlurmTask}\n{tasks}").RequireOneOfBoth(localWorldSize, problems);
        Assert.Equal(sentence is null ? [] : [$"srun (Slurm job 123456) {sentence}"], problems);
    }

    [Fact]
    public void OpenMpi_OnOneHost_MeetsOnLoopback()
    {
        var adopted = Read(OpenMpiTask);
        Assert.Matches(@"^NNODES=2 NODE_RANK=1 RDZV_ID=mpi-\d+ MASTER_ADDR=127\.0\.0\.1 MASTER_PORT=1\d{4}$", Values(adopted));
        Assert.Equal(Values(adopted).Replace("RANK=1", "RANK=0", StringComparison.Ordinal), Values(Read(OpenMpiTask.Replace("_RANK=1", "_RANK=0", StringComparison.Ordinal))));
    }

    [Fact]
    public void OpenMpi_OnSeveralHosts_NeedsToBeToldWhereRankZeroIs()
    {
        List<string> problems = [];
        Read(OpenMpiTask + "\nOMPI_COMM_WORLD_LOCAL_SIZE=1", "", problems);
        Assert.Equal(["mpirun (Open MPI) does not say on which host rank 0 is; name it with --master-addr HOST."], problems);
        Assert.StartsWith(
            "NNODES=2 NODE_RANK=1 RDZV_ID=mpi-", Values(Read(OpenMpiTask + "\nOMPI_COMM_WORLD_LOCAL_SIZE=1", "PET_MASTER_ADDR=head")), StringComparison.Ordinal);
    }

    /// <summary>mpirun starts its daemons with srun, whose variables its processes inherit.</summary>
    [Fact]
    public void OpenMpi_InsideSlurm_GoesBeforeItAndTakesItsFirstNode()
        => Assert.Matches(
            @"^NNODES=2 NODE_RANK=1 RDZV_ID=mpi-\d+ MASTER_ADDR=node1 MASTER_PORT=\d+$",
            Values(Read($"{SlurmTask}\n{OpenMpiTask}\nOMPI_COMM_WORLD_LOCAL_SIZE=1")));

    [Fact]
    public void Pmi_OnOneHost_MeetsOnLoopback()
        => Assert.Equal(
            "NNODES=4 NODE_RANK=3 MASTER_ADDR=127.0.0.1 MASTER_PORT=29500",
            Values(Read("PMI_RANK=3\nPMI_SIZE=4\nMPI_LOCALNRANKS=4\nMPI_LOCALRANKID=3")));

    [Fact]
    public void LeaderWorkerSet_Pod_GivesAll()
        => Assert.Equal(
            "NNODES=2 NODE_RANK=1 MASTER_ADDR=serve-0.serve.default MASTER_PORT=29500",
            Values(Read("LWS_GROUP_SIZE=2\nLWS_WORKER_INDEX=1\nLWS_LEADER_ADDRESS=serve-0.serve.default")));

    [Fact]
    public void IndexedJob_NodesGiven_FindsItsPlaceAndPodZero()
        => Assert.Equal(
            "NODE_RANK=2 MASTER_ADDR=train-node-0-0.train.default.svc.cluster.local MASTER_PORT=29500", Values(Read(IndexedPod, "PET_NNODES=3")));

    /// <summary>The environment that the file of --emit jobset makes.</summary>
    [Fact]
    public void IndexedJob_OfAnEmittedJobSet_NeedsItsPlaceAlone()
        => Assert.Equal("NODE_RANK=2", Values(Read(IndexedPod, "PET_NNODES=3\nPET_MASTER_ADDR=train-node-0-0.train\nPET_MASTER_PORT=29500")));

    /// <summary>Pods that work through a list, each for itself, are as common.</summary>
    [Fact]
    public void IndexedJob_NodesNotGiven_IsNoGroup() => Assert.Equal("", Values(Read(IndexedPod)));

    [Fact]
    public void NoOuterJob_NothingIsAdopted() => Assert.Equal("", Values(Read("PATH=/bin")));

    private static AdoptedOptions Read(string environment, string more = "", List<string>? problems = null)
    {
        var variables = new Dictionary<string, string>();
        foreach (var line in $"{environment}\n{more}".Split('\n', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))
        {
            var parts = line.Split('=', 2);
            variables[parts[0]] = parts[^1];
        }

        List<string> found = [];
        var adopted = AdoptedOptions.Read(
            option => variables.ContainsKey(option.Name) ? "" : null, name => variables.GetValueOrDefault(name), () => PodHosts, problems ?? found);
        Assert.Empty(found);
        return adopted;
    }

    private static string Values(AdoptedOptions adopted)
        => string.Join(' ', new[] { "NNODES", "NODE_RANK", "RDZV_ID", "RDZV_ENDPOINT", "MASTER_ADDR", "MASTER_PORT" }
            .Where(name => adopted.ValueOf("PET_" + name) is not null).Select(name => $"{name}={adopted.ValueOf("PET_" + name)}"));
}
