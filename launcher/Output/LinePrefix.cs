using System.Globalization;
using System.Text;

namespace Distributed.Launcher.Output;

/// <summary>The text before each line of a rank's output.</summary>
internal static class LinePrefix
{
    /// <summary>What a line begins with when nothing else is asked for and several ranks write.</summary>
    public const string DefaultTemplate = "[rank${rank}]: ";

    /// <summary>
    /// Fills the macros of torchrun (<c>${role_name} ${local_rank} ${rank}</c>) and <c>${host}</c>; the rest stays as it is.
    /// </summary>
    public static byte[] Format(string template, string roleName, int localRank, int rank, string host)
        => Encoding.UTF8.GetBytes(template
            .Replace("${role_name}", roleName, StringComparison.Ordinal)
            .Replace("${local_rank}", localRank.ToString(CultureInfo.InvariantCulture), StringComparison.Ordinal)
            .Replace("${rank}", rank.ToString(CultureInfo.InvariantCulture), StringComparison.Ordinal)
            .Replace("${host}", host, StringComparison.Ordinal));
}
