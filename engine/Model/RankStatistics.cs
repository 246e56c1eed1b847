namespace Distributed.Engine.Model;

/// <summary>What a rank says about itself.</summary>
/// <param name="PeakResidentByteCount">The most memory that the process ever had resident, mapped weights included.</param>
/// <param name="MappedByteCount">Bytes of the weights that are used in place.</param>
/// <param name="OwnedByteCount">Bytes allocated beside them: cache, activations, norms.</param>
/// <param name="ThreadCount">Threads that compute.</param>
/// <param name="StepCount">Steps run.</param>
/// <param name="StepMicroseconds">Time spent in steps.</param>
/// <param name="CollectiveMicroseconds">The part of it spent in collectives, waiting for slower ranks included.</param>
public readonly record struct RankStatistics(
    long PeakResidentByteCount,
    long MappedByteCount,
    long OwnedByteCount,
    long ThreadCount,
    long StepCount,
    long StepMicroseconds,
    long CollectiveMicroseconds);
