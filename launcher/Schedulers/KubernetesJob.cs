using System.Globalization;

namespace Distributed.Launcher.Schedulers;

/// <summary>The pods of a Kubernetes job that know their place in it.</summary>
internal static class KubernetesJob
{
    private const string OneAPod = "one container a pod";

    /// <summary>A pod of a LeaderWorkerSet group, which is told everything.</summary>
    public static OuterJob? OfLeaderWorkerSet(OuterJob.Variables variables)
        => variables.Number("LWS_GROUP_SIZE", 1) is > 1 and var size && variables.Number("LWS_WORKER_INDEX", 0) is { } index
            && variables.Text("LWS_LEADER_ADDRESS") is { } leader
            ? new OuterJob
            {
                Launcher = "a LeaderWorkerSet",
                NodeRank = index,
                NodeCount = size,
                FirstHost = leader,
                OneAHost = OneAPod,
            }
            : null;

    /// <summary>
    /// A pod of an indexed Job or a JobSet. It knows its number and not that of the others, which the user says (<c>--nnodes</c>); and by
    /// its own full name, which the kubelet puts into /etc/hosts where the pods have a service, that of pod 0.
    /// </summary>
    public static OuterJob? OfIndexedJob(OuterJob.Variables variables, Func<IEnumerable<string>> hostsFile)
    {
        if (variables.Text("KUBERNETES_SERVICE_HOST") is null || variables.Number("JOB_COMPLETION_INDEX", 0) is not { } index)
        {
            return null;
        }

        return new OuterJob
        {
            Launcher = "an indexed Kubernetes job",
            NodeRank = index,
            FirstHost = variables.Text("HOSTNAME") is { } name ? FirstPod(name, index, hostsFile()) : null,
            OneAHost = OneAPod,
        };
    }

    // 10.1.2.3 train-node-0-2.train.default.svc.cluster.local train-node-0-2
    private static string? FirstPod(string name, int index, IEnumerable<string> hostsFile)
    {
        var suffix = string.Create(CultureInfo.InvariantCulture, $"-{index}");
        if (!name.EndsWith(suffix, StringComparison.Ordinal))
        {
            return null;
        }

        var full = hostsFile
            .SelectMany(line => line.Split('#')[0].Split((char[])[' ', '\t'], StringSplitOptions.RemoveEmptyEntries).Skip(1))
            .FirstOrDefault(word => word.StartsWith(name + ".", StringComparison.Ordinal));
        return full is null ? null : $"{name[..^suffix.Length]}-0{full[name.Length..]}";
    }
}
