using System.Text.Json;
using System.Text.Json.Serialization;
using Distributed.Collectives;

namespace Distributed.Launcher.Rendezvous;

/// <summary>
/// All that the nodes of a run share: one document in the store, replaced as a whole by compare-and-set. What may become of it is in
/// <see cref="RendezvousRules"/>.
/// </summary>
/// <remarks>
/// The states are those of torchrun's dynamic rendezvous (torch/distributed/elastic/rendezvous/dynamic_rendezvous.py): nodes join a round
/// until it is complete, later ones wait, or stand by where the round is full. Two things differ. No time of day is in it, so the clocks of
/// the nodes need not agree: each measures on its own since when it has seen a thing. And the end of a round is written down, so that all
/// nodes know the same cause.
/// </remarks>
internal sealed record RendezvousState
{
    /// <summary>Nodes of one run at most: the document has to fit into a value of the store.</summary>
    public const int MaxNodeCount = 200;

    /// <summary>Goes up by one with each change, so that no two documents are equal.</summary>
    public long Version { get; init; }

    /// <summary>Random, of this run: what is derived from it fits no earlier run of the same name.</summary>
    public required string Nonce { get; init; }

    /// <summary>With fewer nodes no round begins.</summary>
    public required int MinNodes { get; init; }

    /// <summary>With so many a round begins at once.</summary>
    public required int MaxNodes { get; init; }

    /// <summary>How often a failed round may be followed by another one.</summary>
    public required int MaxRestarts { get; init; }

    /// <summary>The round that runs, or is being gathered; from 0.</summary>
    public int Round { get; init; }

    /// <summary>Failures that were followed by another round.</summary>
    public int RestartCount { get; init; }

    /// <summary>Whether the round's participants are settled.</summary>
    public bool IsComplete { get; init; }

    /// <summary>Goes up each time that the last call begins; 0 where there is none, because too few nodes are here.</summary>
    public int LastCall { get; init; }

    /// <summary>How often the last call has begun so far.</summary>
    public int LastCallCount { get; init; }

    /// <summary>Whether the run is over.</summary>
    public bool IsClosed { get; init; }

    /// <summary>Why the round ended, while its nodes leave it.</summary>
    public RoundEnd? End { get; init; }

    /// <summary>Counts the nodes that ever came.</summary>
    public long SeatCount { get; init; }

    /// <summary>The nodes of the round.</summary>
    public IReadOnlyList<NodeEntry> Participants { get; init; } = [];

    /// <summary>The nodes that will be in the next round.</summary>
    public IReadOnlyList<NodeEntry> Waiting { get; init; } = [];

    /// <summary>The nodes beyond the maximum, which take the place of one that goes.</summary>
    public IReadOnlyList<NodeEntry> Spares { get; init; } = [];

    /// <summary>All nodes that are here.</summary>
    [JsonIgnore]
    public IEnumerable<NodeEntry> Nodes => Participants.Where(node => !node.HasLeft).Concat(Waiting).Concat(Spares);

    /// <summary>The node of this id, if it is here.</summary>
    public NodeEntry? Find(string id) => Nodes.FirstOrDefault(node => node.Id == id);

    /// <summary>Whether the node of this id is in the round.</summary>
    public bool IsParticipant(string id) => Participants.Any(node => node.Id == id);

    /// <summary>The document as it lies in the store.</summary>
    public byte[] ToBytes() => JsonSerializer.SerializeToUtf8Bytes(this, RendezvousJson.Default.RendezvousState);

    /// <summary>Reads the document.</summary>
    /// <exception cref="RendezvousConnectionException">It is none.</exception>
    public static RendezvousState FromBytes(ReadOnlySpan<byte> bytes)
    {
        try
        {
            if (JsonSerializer.Deserialize(bytes, RendezvousJson.Default.RendezvousState) is { } state)
            {
                return state;
            }
        }
        catch (JsonException)
        {
            // The sentence below says all that a user can act on.
        }

        throw new RendezvousConnectionException("What the store holds for this run is not a rendezvous of this version; start every node from one build.");
    }
}

[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(RendezvousState))]
internal sealed partial class RendezvousJson : JsonSerializerContext;
