using System.Security.Cryptography;
using Distributed.Collectives.Launching;

namespace Distributed.Launcher.Jobs;

/// <summary>What the ranks of one attempt share and nobody else knows: a rank of an earlier attempt cannot join this one.</summary>
/// <param name="JobId">Names the attempt in handshakes.</param>
/// <param name="Secret">Proves that one belongs to it.</param>
internal sealed record JobIdentity(string JobId, JobSecret Secret)
{
    private const int IdByteCount = 16;

    public static JobIdentity Create() => new(Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(IdByteCount)), JobSecret.Create());

    /// <summary>What one rank is told in private.</summary>
    /// <param name="epoch">The number of the attempt.</param>
    /// <param name="rank">The rank.</param>
    /// <param name="userInputIsTerminal">Whether it reads what somebody types.</param>
    public JobEnvelope ToEnvelope(int epoch, int rank, bool userInputIsTerminal)
        => new(JobId, Secret, epoch, rank, Environment.ProcessId) { UserInputIsTerminal = userInputIsTerminal };
}
