using System.Globalization;
using System.Text;

namespace Distributed.Launcher.Output;

/// <summary>The text before each line of a rank's output.</summary>
/// <param name="template">The text, with macros: torchrun's <c>${role_name} ${local_rank} ${rank}</c>, and <c>${host}</c>.</param>
/// <param name="roleName">The role of the ranks.</param>
/// <param name="host">The name of this machine.</param>
/// <param name="isColored">Whether each rank has a colour of its own.</param>
internal sealed class LinePrefix(string template, string roleName, string host, bool isColored)
{
    /// <summary>What a line begins with when nothing else is asked for and several ranks write.</summary>
    public const string DefaultTemplate = "[rank${rank}]: ";

    /// <summary>What torchrun puts before the lines of a stream that it tees.</summary>
    public const string TeeTemplate = "[${role_name}${local_rank}]:";

    // Cyan, yellow, green, magenta, blue: readable on light and dark; red is for errors.
    private static readonly int[] Colors = [36, 33, 32, 35, 34];

    /// <summary>The prefix of some ranks of this node: one, or several that wrote the same line.</summary>
    /// <param name="localRanks">The ranks, in their order.</param>
    /// <param name="firstRank">The global rank of local rank 0.</param>
    public byte[] Of(IReadOnlyList<int> localRanks, int firstRank)
    {
        var text = template
            .Replace("${role_name}", roleName, StringComparison.Ordinal)
            .Replace("${local_rank}", RankList.Format(localRanks), StringComparison.Ordinal)
            .Replace("${rank}", RankList.Format([.. localRanks.Select(rank => rank + firstRank)]), StringComparison.Ordinal)
            .Replace("${host}", host, StringComparison.Ordinal);
        return Encoding.UTF8.GetBytes(isColored && text.Length > 0
            ? string.Create(CultureInfo.InvariantCulture, $"\e[{Colors[(localRanks[0] + firstRank) % Colors.Length]}m{text}\e[0m")
            : text);
    }
}
