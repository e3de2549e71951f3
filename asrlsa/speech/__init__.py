"""From sound to words, speakers and utterances."""
